/** All trials; sorted by any column. */
import { ArrowDown, ArrowUp, Star } from "lucide-react";
import { useState } from "react";
import { formatDuration, formatNumber } from "~/shared/i18n";
import type { Trial, Trials } from "../api";
import { Badge } from "../parts/Badge";
import { NUMBER, TABLE, TD, TH } from "../parts/layout";
import { formatParam, lastLoss } from "./trials";
import { useTuneWords } from "./words";

interface TrialTableProps {
  found: Trials;
  marked: number | null;
  onMark: (number: number | null) => void;
}

const TONES = { measured: "ok", failed: "bad", "under way": "accent" } as const;
type Outcome = "waiting" | "under way" | "ended early" | "measured" | "failed";

export function TrialTable({ found, marked, onMark }: TrialTableProps) {
  const t = useTuneWords();
  const [sort, setSort] = useState<{ by: string; down: boolean }>({ by: "number", down: false });
  const names = [...new Set(found.trials.flatMap(({ params }) => Object.keys(params)))];
  const valueOf = (trial: Trial, by: string): unknown =>
    by === "number" ? trial.number : by === "value" ? trial.value : by === "loss" ? lastLoss(trial) : by === "seconds" ? trial.seconds : by === "outcome" ? trial.outcome : trial.params[by];
  const rows = [...found.trials].sort((a, b) => compared(valueOf(a, sort.by), valueOf(b, sort.by)) * (sort.down ? -1 : 1));
  const head = (by: string, title: string) => (
    <th key={by} scope="col" aria-sort={sort.by === by ? (sort.down ? "descending" : "ascending") : undefined} className={TH}>
      <button type="button" className="inline-flex items-center gap-1 hover:text-ink" onClick={() => setSort({ by, down: sort.by === by && !sort.down })}>
        {title}{sort.by === by && (sort.down ? <ArrowDown size={12} aria-hidden /> : <ArrowUp size={12} aria-hidden />)}
      </button>
    </th>
  );
  return (
    <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={t("trials")}>
      <table className={TABLE}>
        <thead><tr>{head("number", t("number"))}{head("outcome", t("outcome"))}{head("value", found.figure || t("value"))}{head("loss", t("loss"))}{names.map((name) => head(name, name))}{head("seconds", t("seconds"))}</tr></thead>
        <tbody>
          {rows.map((trial) => (
            <tr
              key={trial.number}
              tabIndex={0}
              className={trial.number === marked ? "bg-accent-soft" : ""}
              onPointerEnter={() => onMark(trial.number)} onPointerLeave={() => onMark(null)} onFocus={() => onMark(trial.number)} onBlur={() => onMark(null)}
            >
              <td className={`${TD} whitespace-nowrap tabular-nums`}>
                {trial.number} {trial.number === found.best && <Star size={13} aria-label={t("best")} className="inline fill-current text-accent-ink" />}
                {trial.is_automatic && <span className="text-xs text-muted"> {t("automatic")}</span>}
              </td>
              <td className={TD}><Badge tone={TONES[trial.outcome as keyof typeof TONES] ?? "plain"} title={trial.reason}>{t(`o.${trial.outcome as Outcome}`)}</Badge></td>
              <td className={`${TD} ${NUMBER}`}>{trial.value === null ? "" : formatNumber(trial.value, 4)}</td>
              <td className={`${TD} ${NUMBER}`}>{lastLoss(trial) === undefined ? "" : formatNumber(lastLoss(trial)!, 4)}</td>
              {names.map((name) => <td key={name} className={`${TD} ${NUMBER}`}>{name in trial.params ? formatParam(trial.params[name]) : ""}</td>)}
              <td className={`${TD} ${NUMBER}`}>{trial.seconds === null ? "" : formatDuration(trial.seconds)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What is not known yet comes last. */
function compared(a: unknown, b: unknown): number {
  if (a === b) return 0;
  if (a === undefined || a === null) return 1;
  if (b === undefined || b === null) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

/** What a training would take: memory, steps, rows, time. */
import { TriangleAlert } from "lucide-react";
import { formatBytes, formatDuration, formatNumber } from "~/shared/i18n";
import type { Plan } from "../api";
import { useTrainWords } from "./words";

const CLOSE = 0.9;

export function PlanSummary({ plan }: { plan: Plan }) {
  const t = useTrainWords();
  const { predicted_peak_bytes: need, free_bytes: free, steps, epochs, train_rows, eval_rows, seconds, device, warnings } = plan;
  const tenths = Math.round(epochs * 10);
  const share = free > 0 ? need / free : 1;
  const tone = share > 1 ? "bg-bad" : share > CLOSE ? "bg-warn" : "bg-accent";
  return (
    <div className="flex flex-col gap-3">
      <div>
        <div className="mb-1 flex flex-wrap justify-between gap-x-4">
          <span className="font-medium">{t("plan.memory")} <span className="font-normal text-muted">{device === "cuda" ? "GPU" : device.toUpperCase()}</span></span>
          <span className="tabular-nums">
            {t("plan.memoryOf", { need: formatBytes(need), free: formatBytes(free) })}
            {share > 1 && <span className="text-bad"> · {t("plan.tooMuch")}</span>}
          </span>
        </div>
        <div role="meter" aria-label={t("plan.memory")} aria-valuemin={0} aria-valuemax={free} aria-valuenow={Math.min(need, free)} className="h-2 overflow-hidden rounded-full bg-raised">
          <div className={`h-full rounded-full transition-[width] duration-200 ${tone}`} style={{ width: `${Math.min(1, share) * 100}%`, minWidth: "0.5rem" }} />
        </div>
      </div>
      <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1 tabular-nums">
        <dt className="text-muted">{t("plan.steps")}</dt>
        <dd>{t("plan.stepsOf", { steps: formatNumber(steps), epochs: formatNumber(epochs, Number.isInteger(tenths / 10) ? 0 : 1) })}</dd>
        <dt className="text-muted">{t("plan.rows")}</dt>
        <dd>{t("plan.rowsOf", { train: formatNumber(train_rows), held: formatNumber(eval_rows) })}</dd>
        <dt className="text-muted">{t("plan.time")}</dt>
        <dd className={seconds === null ? "text-muted" : ""}>{seconds === null ? t("plan.timeUnknown") : t("plan.timeAbout", { time: formatDuration(seconds) })}</dd>
      </dl>
      {warnings.length > 0 && (
        <ul className="flex flex-col gap-1.5 rounded-md bg-warn-soft px-3 py-2">
          {warnings.map((warning) => (
            <li key={warning} className="flex gap-2">
              <TriangleAlert size={16} aria-hidden className="mt-0.5 shrink-0 text-warn" />
              <span className="min-w-0 break-words">{warning}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The answer, in a sentence; what follows from it, and what to do. */
import { CircleCheck, CircleHelp, CircleX, RotateCcw, Terminal, TriangleAlert } from "lucide-react";
import { IconButton } from "~/shared/components/Button";
import { CopyButton } from "~/shared/components/CopyButton";
import { formatBytes, useT } from "~/shared/i18n";
import { methodName } from "./adapters";
import { useCheckWords } from "./checkWords";
import { familyTitle } from "./families";
import { InstallPanel } from "./InstallPanel";
import { compact, dtypeName, leastOf, type Outcome, type Report } from "./report";

const LOOKS = {
  trains: ["bg-ok-soft text-ok", CircleCheck],
  answers: ["bg-warn-soft text-warn", TriangleAlert],
  fitsNot: ["bg-bad-soft text-bad", CircleX],
  unknown: ["bg-raised text-muted", CircleHelp],
} as const;

interface HeadProps {
  report: Report;
  outcome: Outcome;
  asked: string;
  onAgain: () => void;
  isAgain: boolean;
}

export function VerdictHead({ report, outcome, asked, onAgain, isAgain }: HeadProps) {
  const t = useCheckWords();
  const shared = useT();
  const [look, Icon] = LOOKS[outcome.kind];
  const { total } = report.parameters;
  const about = [report.model_id, familyTitle(report.model_family, shared), total ? t("parameters", { n: compact(total) }) : ""];
  return (
    <section aria-labelledby="verdict" className="rounded-lg border border-line bg-panel shadow-low">
      <div className="flex items-start gap-3 p-4 sm:gap-4 sm:p-5">
        <span className={`grid size-10 shrink-0 place-items-center rounded-full ${look}`}><Icon size={22} aria-hidden /></span>
        <div className="min-w-0 flex-1">
          <h2 id="verdict" className="text-lg font-semibold text-pretty">{useSentence(report, outcome)}</h2>
          <p className="mt-0.5 [overflow-wrap:anywhere] text-muted">{about.filter(Boolean).join(" · ")}</p>
          <Consequence report={report} outcome={outcome} />
          {outcome.kind !== "fitsNot" && <NextStep text={report.next_step} />}
        </div>
        <IconButton label={t("again")} icon={RotateCcw} disabled={isAgain} onClick={onAgain} />
      </div>
      <InstallPanel report={report} asked={asked} outcome={outcome} />
    </section>
  );
}

function useSentence({ estimated }: Report, { kind, verdict, free }: Outcome): string {
  const t = useCheckWords();
  if (!verdict) return t("verdict.unknown");
  const memory = formatBytes(verdict.memory);
  const need = free === null ? memory : t("of", { need: memory, free: formatBytes(free) });
  const said = estimated ? t("about", { size: need }) : need;
  const where = verdict.device === "none" ? "cpu" : verdict.device;
  if (kind === "fitsNot") return t("verdict.fitsNot", { need: estimated ? t("about", { size: memory }) : memory, free: free === null ? "–" : formatBytes(free) });
  if (kind === "trains") return t(`verdict.trains.${where}`, { method: verdict.method === "full" ? t("method.full") : methodName(verdict.method), need: said });
  return t(`verdict.answers.${where}`, { dtype: dtypeName(verdict.dtype), need: said });
}

/** Why it does not train here, where it answers; what to do, where it does neither. */
function Consequence({ report, outcome }: { report: Report; outcome: Outcome }) {
  const t = useCheckWords();
  if (outcome.kind !== "answers" && outcome.kind !== "fitsNot") return null;
  const least = leastOf(report, "training");
  return <p className="mt-2 max-w-prose text-pretty">{outcome.kind === "fitsNot" ? t("verdict.advice") : least ? t("verdict.noTraining", { need: formatBytes(least.memory) }) : t("verdict.noEstimate")}</p>;
}

const COMMAND = /^lorasmith \S+/;

/** A command to copy, or advice to read. */
function NextStep({ text }: { text: string }) {
  const t = useCheckWords();
  if (!text) return null;
  if (!COMMAND.test(text)) return <p className="mt-2 max-w-prose text-pretty">{text}</p>;
  // A remark in brackets may follow the command, three spaces away.
  const [command = text, remark] = text.split(/\s{3,}/);
  return (
    <div className="mt-3 flex max-w-full flex-wrap items-center gap-x-2 gap-y-1 text-muted">
      <Terminal size={15} aria-hidden className="shrink-0" />
      <span className="text-xs">{t("next")}</span>
      <span className="inline-flex min-w-0 items-center rounded-md bg-raised pl-2">
        <code className="min-w-0 py-1 font-mono text-xs break-words text-ink [overflow-wrap:anywhere]">{command}</code>
        <CopyButton text={() => command} />
      </span>
      {remark && <span className="text-xs">{remark}</span>}
    </div>
  );
}

/** A check from its verdict down to its details. */
import { TriangleAlert } from "lucide-react";
import { AboutCard, AbleCard } from "./AboutCards";
import { useCheckWords } from "./checkWords";
import { MachineCard, NeedsCard, SafetyCard } from "./NeedsCards";
import { DiskCard } from "./DiskCard";
import { outcomeOf, type Report } from "./report";
import { VerdictHead } from "./VerdictHead";
import { VerdictTable } from "./VerdictTable";

interface ViewProps {
  report: Report;
  /** As it was asked for, which is what an installation is asked for by. */
  asked: string;
  onAgain: () => void;
  isAgain: boolean;
}

export function ReportView({ report, asked, onAgain, isAgain }: ViewProps) {
  const t = useCheckWords();
  const outcome = outcomeOf(report);
  return (
    <div className="appear flex min-w-0 flex-col gap-4">
      <VerdictHead report={report} outcome={outcome} asked={asked} onAgain={onAgain} isAgain={isAgain} />
      {report.warnings.length > 0 && (
        <section aria-label={t("warnings")} className="rounded-lg bg-warn-soft px-4 py-3">
          <ul className="flex flex-col gap-2">
            {report.warnings.map((warning) => (
              <li key={warning} className="flex items-start gap-2">
                <TriangleAlert size={16} aria-label={t("warning")} className="mt-0.5 shrink-0 text-warn" />
                <span className="min-w-0 break-words">{warning}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <VerdictTable report={report} kind="training" best={outcome.verdict} />
      <VerdictTable report={report} kind="inference" best={outcome.verdict} />
      <div className="grid gap-4 md:grid-cols-2 xl:grid-cols-3">
        <AboutCard report={report} />
        <AbleCard report={report} />
        <DiskCard report={report} />
        <NeedsCard report={report} />
        <SafetyCard report={report} />
        <MachineCard report={report} />
      </div>
    </div>
  );
}


/** Whether a dataset can be learnt from. */
import { Check, CircleAlert, LoaderCircle, TriangleAlert } from "lucide-react";
import type { Dataset } from "../api";
import { Badge } from "../parts/Badge";
import { useDatasetWords } from "./words";

export function StateBadge({ dataset: { is_read, error, facts } }: { dataset: Dataset }) {
  const t = useDatasetWords();
  if (!is_read) return <Badge tone="accent" icon={LoaderCircle}>{t("reading")}</Badge>;
  if (error) return <Badge tone="bad" icon={CircleAlert} title={error.what}>{t("unusable")}</Badge>;
  const problems = facts.findings?.filter(({ level }) => level !== "note") ?? [];
  if (!problems.length) return <Badge tone="ok" icon={Check}>{t("ok")}</Badge>;
  const isFatal = problems.some(({ level }) => level === "fatal");
  return (
    <Badge tone={isFatal ? "bad" : "warn"} icon={isFatal ? CircleAlert : TriangleAlert} title={problems.map(({ what }) => what).join("\n")}>
      {t("problems", { n: problems.length })}
    </Badge>
  );
}

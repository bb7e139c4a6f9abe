/** The check's verdict on training a model here. */
import type { UseQueryResult } from "@tanstack/react-query";
import { Check as CheckIcon, CircleHelp, LoaderCircle, TriangleAlert, X } from "lucide-react";
import { asErrorBody } from "~/shared/api/http";
import { formatBytes } from "~/shared/i18n";
import type { Check } from "../api";
import { Badge } from "../parts/Badge";
import { fitOf } from "./fits";
import { useTrainWords } from "./words";

export function FitBadge({ query }: { query: UseQueryResult<Check> }) {
  const t = useTrainWords();
  if (query.error) {
    const { message, hint } = asErrorBody(query.error);
    return <Badge icon={CircleHelp} title={[message, hint].filter(Boolean).join("\n")}>{t("fits.failed")}</Badge>;
  }
  if (!query.data) return <Badge icon={LoaderCircle}>{t("fits.checking")}</Badge>;
  const { kind, memory, free } = fitOf(query.data);
  if (kind === "unknown") return <Badge icon={CircleHelp}>{t("fits.unknown")}</Badge>;
  const [tone, icon] = { fits: ["ok", CheckIcon] as const, fits4: ["warn", TriangleAlert] as const, fitsNot: ["bad", X] as const }[kind];
  const title = free === null ? undefined : t("fits.of", { memory: formatBytes(memory), free: formatBytes(free) });
  return <Badge tone={tone} icon={icon} title={title}>{t(kind, { memory: formatBytes(memory) })}</Badge>;
}

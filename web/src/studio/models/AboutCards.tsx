/** What the model is, and what one can do with it. */
import { Check, X } from "lucide-react";
import type { ReactNode } from "react";
import { formatBytes, formatNumber, useT } from "~/shared/i18n";
import { Card, Facts } from "../parts/layout";
import { useCheckWords } from "./checkWords";
import { familyTitle } from "./families";
import { compact, dtypeName, type Report } from "./report";

/** Those that are known. */
const known = (facts: [string, ReactNode][]): [string, ReactNode][] => facts.filter(([, value]) => value !== undefined && value !== null && value !== "");

export function AboutCard({ report }: { report: Report }) {
  const t = useCheckWords();
  const shared = useT();
  const { total = 0, active = 0, by_dtype: dtypes = {} } = report.parameters;
  const stored = Object.keys(dtypes).map(dtypeName).join(", ");
  return (
    <Card title={t("about.title")}>
      <Facts
        facts={known([
          [t("about.family"), familyTitle(report.model_family, shared)],
          [t("about.type"), report.model_type],
          [t("about.architecture"), <span title={report.recognised_by}>{report.architectures.join(", ")}{report.architecture_type && <span className="block text-xs text-muted">{report.architecture_type}</span>}</span>],
          [t("about.task"), report.task],
          [t("about.library"), report.primary_library],
          [t("about.parameters"), total ? <span title={formatNumber(total)}>{compact(total)}{stored && `, ${stored}`}</span> : t("unknown")],
          [t("about.active"), active && active < total ? compact(active) : ""],
          [t("about.weights"), report.weight_bytes ? `${formatBytes(report.weight_bytes)}${report.weight_form ? `, ${report.weight_form}` : ""}` : ""],
          [t("about.adapterOf"), report.adapter_of],
          [t("about.revision"), report.revision && <code className="font-mono text-xs" title={report.revision}>{report.revision.slice(0, 12)}</code>],
        ])}
      />
    </Card>
  );
}

const ABILITIES = ["chat_template", "system_prompt", "tool_calls", "reasoning", "streaming"] as const;

export function AbleCard({ report: { capabilities } }: { report: Report }) {
  const t = useCheckWords();
  const { inputs = [], outputs = [], max_context: context, template_trouble: trouble } = capabilities;
  return (
    <Card title={t("able.title")}>
      <Facts
        facts={known([
          [t("able.in"), inputs.join(", ") || t("able.nothing")],
          [t("able.out"), outputs.join(", ") || t("able.nothing")],
          [t("able.context"), context ? t("tokens", { n: context }) : ""],
        ])}
      />
      <ul className="mt-3 grid gap-x-4 gap-y-1.5 border-t border-line pt-3">
        {ABILITIES.map((name) => {
          const has = capabilities[name] ?? false;
          return (
            <li key={name} className={`flex items-center gap-2 ${has ? "" : "text-muted"}`}>
              {has ? <Check size={16} aria-label={t("yes")} className="shrink-0 text-ok" /> : <X size={16} aria-label={t("no")} className="shrink-0" />}
              {t(`able.${name}`)}
            </li>
          );
        })}
      </ul>
      {trouble && <p className="mt-3 rounded-md bg-warn-soft px-3 py-2 break-words">{t("able.trouble", { why: trouble })}</p>}
    </Card>
  );
}

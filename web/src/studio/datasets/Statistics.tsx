/** What a dataset holds, in figures. */
import { useQuery } from "@tanstack/react-query";
import { CircleAlert, Info, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { Bars } from "~/shared/components/Bars";
import { formatNumber } from "~/shared/i18n";
import { type Dataset, type DatasetFacts, datasets, type Finding } from "../api";
import { Card, Facts, INPUT, Skeletons } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { useReader } from "./SeenRows";
import { useDatasetWords } from "./words";

export function Statistics({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  const { list } = useReader();
  const [model, setModel] = useState("");
  const query = useQuery({ queryKey: ["facts", dataset.id, model], queryFn: () => datasets.inspect(dataset.id, model), enabled: Boolean(model), staleTime: Infinity });
  if (!dataset.facts.histogram) return <Skeletons rows={2} className="h-40" />;
  const facts = dataset.facts as DatasetFacts;
  return (
    <>
      <label className="flex flex-wrap items-center gap-2">
        {t("stat.inTokens")}
        <select className={`${INPUT} w-auto!`} value={model} onChange={(event) => setModel(event.target.value)}>
          <option value="">{t("stat.inCharacters")}</option>
          {list.map((one) => <option key={one}>{one}</option>)}
        </select>
      </label>
      {model ? <Loaded query={query}>{(found) => <Shown facts={found} />}</Loaded> : <Shown facts={facts} />}
    </>
  );
}

const ICONS = { fatal: CircleAlert, warning: TriangleAlert, note: Info };
const TONES = { fatal: "text-bad", warning: "text-warn", note: "text-muted" };

function Shown({ facts }: { facts: DatasetFacts }) {
  const t = useDatasetWords();
  const unit = facts.unit === "tokens" ? t("stat.tokens") : t("stat.characters");
  const rows: [string, string][] = [
    [t("stat.rows"), formatNumber(facts.num_rows)], [t("stat.bad"), formatNumber(facts.num_bad_rows)], [t("stat.turns"), formatNumber(facts.num_turns)],
    [t("stat.empty"), formatNumber(facts.num_empty_answers)], [t("stat.copies"), formatNumber(facts.copies.count)], [t("stat.near"), formatNumber(facts.near_copies.count)],
    [t("stat.conflicts"), formatNumber(facts.conflicts.count)],
  ];
  if (facts.num_tokens) rows.push([t("stat.total"), `${formatNumber(facts.num_tokens)}, ${formatNumber(facts.num_supervised_tokens)}`], [t("stat.cut"), formatNumber(facts.num_truncated)]);
  return (
    <div className="grid gap-4 lg:grid-cols-2">
      <Card title={t("stat.findings")}>
        {facts.findings.length ? (
          <ul className="flex flex-col gap-3">{facts.findings.map((one) => <Odd key={one.code} finding={one} />)}</ul>
        ) : <p className="text-muted">{t("stat.fine")}</p>}
      </Card>
      <Card><Facts facts={rows} /></Card>
      <Card title={`${t("stat.histogram")} · ${unit}`}><Histogram facts={facts} /></Card>
      <Card title={t("stat.languages")}>
        <Bars labels={Object.entries(facts.languages).sort(([, a], [, b]) => b - a).slice(0, 8).map(([label, score]) => ({ label, score }))} />
      </Card>
    </div>
  );
}

function Odd({ finding: { level, what, fix } }: { finding: Finding }) {
  const Icon = ICONS[level] ?? Info;
  return (
    <li className="flex gap-3">
      <Icon size={16} aria-label={level} className={`mt-0.5 shrink-0 ${TONES[level] ?? ""}`} />
      <span className="min-w-0"><span className="block">{what}</span><span className="block text-muted">{fix}</span></span>
    </li>
  );
}

function Histogram({ facts }: { facts: DatasetFacts }) {
  const t = useDatasetWords();
  const bins = facts.histogram;
  const most = Math.max(1, ...bins.map(([, count]) => count));
  const longest = Math.max(1, bins.at(-1)?.[0] ?? 1);
  const marks: [string, number, string][] = [["stat.median", facts.length_p50, "text-accent-ink"], ["stat.p95", facts.length_p95, "text-warn"], ["stat.max", facts.length_max, "text-muted"]];
  return (
    <figure>
      <svg role="img" aria-label={t("stat.histogram")} viewBox="0 0 400 120" preserveAspectRatio="none" className="h-36 w-full">
        {bins.map(([edge, count], index) => (
          <rect key={edge} x={(index / bins.length) * 400 + 1} width={Math.max(1, 400 / bins.length - 2)} y={118 - (count / most) * 112} height={(count / most) * 112} className="fill-accent opacity-80">
            <title>{`≤ ${formatNumber(edge)}: ${formatNumber(count)}`}</title>
          </rect>
        ))}
        {facts.max_length > 0 && facts.max_length < longest && <line x1={(facts.max_length / longest) * 400} x2={(facts.max_length / longest) * 400} y1={0} y2={120} className="stroke-bad" strokeDasharray="4 3" vectorEffect="non-scaling-stroke" />}
      </svg>
      <figcaption className="mt-2 flex flex-col gap-0.5 text-xs">
        {marks.map(([key, value, tone]) => (
          <span key={key} className="flex justify-between gap-3"><span className="text-muted">{t(key as "stat.median")}</span><span className={`tabular-nums ${tone}`}>{formatNumber(value)}</span></span>
        ))}
      </figcaption>
    </figure>
  );
}

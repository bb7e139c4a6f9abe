/** Adapters that were marked: two side by side, what they were made of, how, and how well they did; or several made one. */
import { useQuery } from "@tanstack/react-query";
import { CircleCheck, GitCompare, GitMerge } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Button } from "~/shared/components/Button";
import { Dialog } from "~/shared/components/Dialog";
import { formatAgo, formatBytes, formatMoment, formatNumber } from "~/shared/i18n";
import { humanised } from "~/shared/schema";
import { CombineDialog } from "../adapters/CombineDialog";
import { useAdapterWords } from "../adapters/words";
import { type Adapter, tasks } from "../api";
import { better, methodName } from "./adapters";
import { Lineage } from "./AdapterTree";
import { scoreTitle, useModelsWords } from "./words";

/** A bar at the foot of the window while adapters are chosen. */
export function Comparing({ adapters, onClear }: { adapters: Adapter[]; onClear: () => void }) {
  const t = useModelsWords();
  const say = useAdapterWords();
  const [opened, setOpened] = useState<"compare" | "combine" | null>(null);
  const [first, second] = adapters;
  const canCombine = second !== undefined && adapters.every((one) => one.base_model === first?.base_model && !one.troubles.length);
  if (!first) return null;
  return (
    <>
      <div role="status" className="appear sticky bottom-4 z-20 mx-auto flex w-max max-w-full flex-wrap items-center gap-x-3 gap-y-2 rounded-lg border border-line bg-panel py-2 pr-2 pl-4 shadow-lifted">
        <GitCompare size={16} aria-hidden className="shrink-0 text-accent-ink" />
        <span className="min-w-0 [overflow-wrap:anywhere]">{second ? adapters.map(({ name }) => name).join(", ") : t("compare.another", { name: first.name })}</span>
        <span className="flex gap-2">
          <Button kind="quiet" onClick={onClear}>{t("compare.clear")}</Button>
          <Button icon={GitMerge} disabled={!canCombine} title={say("combine.text")} onClick={() => setOpened("combine")}>{say("combine")}</Button>
          <Button kind="primary" disabled={adapters.length !== 2} title={adapters.length > 2 ? t("compare.two") : undefined} onClick={() => setOpened("compare")}>{t("compare")}</Button>
        </span>
      </div>
      {opened === "compare" && second && <Dialog title={t("compare.title")} shape="top" onClose={() => setOpened(null)}><Sides pair={[first, second]} /></Dialog>}
      {opened === "combine" && <CombineDialog of={adapters} onDone={() => { setOpened(null); onClear(); }} onClose={() => setOpened(null)} />}
    </>
  );
}

type Pair = [Adapter, Adapter];
interface Line {
  name: string;
  sides: [ReactNode, ReactNode];
  differs: boolean;
}

const shown = (value: unknown): string =>
  value === undefined || value === null || value === "" ? "–" : typeof value === "number" ? String(value) : typeof value === "string" ? value : JSON.stringify(value);

function Sides({ pair }: { pair: Pair }) {
  const t = useModelsWords();
  const params = [useParams(pair[0]), useParams(pair[1])] as const;
  const line = (name: string, one: (adapter: Adapter) => string): Line => {
    const sides: [string, string] = [one(pair[0]), one(pair[1])];
    return { name, sides, differs: sides[0] !== sides[1] };
  };
  const parameters: Line[] = [
    line(t("fact.method"), ({ method }) => methodName(method)),
    line(t("fact.rank"), ({ rank }) => shown(rank)),
    ...[...new Set(params.flatMap(Object.keys))].filter((name) => name !== "method" && name !== "rank").sort().map((name) => {
      const sides: [string, string] = [shown(params[0][name]), shown(params[1][name])];
      return { name: humanised(name), sides, differs: sides[0] !== sides[1] };
    }),
  ];
  const scores: Line[] = [...new Set(pair.flatMap((one) => Object.keys(one.scores)))].map((name) => {
    const values = pair.map((one) => one.scores[name]) as [number | undefined, number | undefined];
    const best = better(name, ...values);
    return { name: scoreTitle(name, t), differs: best !== null, sides: [<Score value={values[0]} isBest={best === 0} />, <Score value={values[1]} isBest={best === 1} />] };
  });
  const made: Line[] = [
    line(t("fact.base"), (one) => one.base_model),
    { name: t("fact.from"), differs: pair[0].dataset !== pair[1].dataset, sides: [<Lineage adapter={pair[0]} />, <Lineage adapter={pair[1]} />] },
    line(t("fact.size"), (one) => formatBytes(one.num_bytes)),
    { name: t("fact.made"), differs: false, sides: [<Made at={pair[0].created_at} />, <Made at={pair[1].created_at} />] },
  ];
  return (
    <div className="overflow-x-auto px-4 pb-4">
      <table className="w-full min-w-md table-fixed border-collapse text-left">
        <thead>
          <tr>
            <th className="w-2/5 sm:w-1/3" aria-label={t("compare.what")} />
            {pair.map((one) => <th key={one.path} scope="col" className="py-2 pl-3 align-bottom font-semibold [overflow-wrap:anywhere]">{one.name}</th>)}
          </tr>
        </thead>
        {scores.length > 0 && <Lines title={t("compare.scores")} lines={scores} />}
        <Lines title={t("compare.parameters")} lines={parameters} />
        <Lines title={t("compare.origin")} lines={made} />
      </table>
    </div>
  );
}

/** What its training was asked for, beyond what is automatic. */
function useParams({ task }: Adapter): Record<string, unknown> {
  const { data } = useQuery({ queryKey: ["task", task], queryFn: () => tasks.one(task!), enabled: task !== null, retry: 0 });
  return data?.training_params ?? {};
}

function Lines({ title, lines }: { title: string; lines: Line[] }) {
  const t = useModelsWords();
  return (
    <tbody>
      <tr><th colSpan={3} scope="rowgroup" className="pt-4 pb-1 text-xs font-medium text-muted">{title}</th></tr>
      {lines.map(({ name, sides, differs }) => (
        <tr key={name} className={differs ? "bg-accent-soft" : ""}>
          <th scope="row" className="border-t border-line px-3 py-2 align-top font-normal text-muted">{name}{differs && <span className="sr-only"> ({t("compare.differs")})</span>}</th>
          {sides.map((side, index) => <td key={index} className={`border-t border-line py-2 pl-3 align-top tabular-nums [overflow-wrap:anywhere] ${differs ? "font-medium" : ""}`}>{side}</td>)}
        </tr>
      ))}
    </tbody>
  );
}

function Score({ value, isBest }: { value: number | undefined; isBest: boolean }) {
  const t = useModelsWords();
  if (value === undefined) return <>–</>;
  return (
    <span className="inline-flex flex-wrap items-center gap-x-2">
      {formatNumber(value, 3)}
      {isBest && <span className="inline-flex items-center gap-1 text-xs text-ok"><CircleCheck size={13} aria-hidden />{t("compare.better")}</span>}
    </span>
  );
}

function Made({ at }: { at: string | null }) {
  return at ? <time dateTime={at} title={formatMoment(at)}>{formatAgo(at)}</time> : <>–</>;
}

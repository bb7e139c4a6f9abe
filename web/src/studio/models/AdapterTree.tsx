/** Adapters beneath their base: what each is, how well it did, where it came from. */
import { Database, GitMerge, ListTodo, TriangleAlert } from "lucide-react";
import { Link } from "wouter";
import { formatAgo, formatBytes, formatMoment, formatNumber } from "~/shared/i18n";
import { AdapterMenu } from "../adapters/AdapterMenu";
import { useAdapterWords } from "../adapters/words";
import type { Adapter } from "../api";
import { TEXT_LINK } from "../parts/links";
import { mainScore, methodName } from "./adapters";
import { scoreTitle, useModelsWords } from "./words";

export interface TreeProps {
  adapters: Adapter[];
  /** Paths of those to compare or to combine. */
  chosen: string[];
  onToggle: (path: string) => void;
}

/** A branch to each, and a stem on to the next one. */
const BRANCH =
  "relative pl-6 before:absolute before:top-0 before:left-1.5 before:h-5.5 before:w-3 before:rounded-bl-md before:border-b before:border-l before:border-line-strong " +
  "after:absolute after:top-0 after:bottom-0 after:left-1.5 after:border-l after:border-line-strong last:after:hidden";

export function AdapterTree({ adapters, chosen, onToggle }: TreeProps) {
  if (!adapters.length) return null;
  return (
    <ul className="mt-1">
      {adapters.map((adapter) => (
        <li key={adapter.path} className={BRANCH}>
          <Leaf adapter={adapter} isChosen={chosen.includes(adapter.path)} onToggle={() => onToggle(adapter.path)} />
        </li>
      ))}
    </ul>
  );
}

function Leaf({ adapter, isChosen, onToggle }: { adapter: Adapter; isChosen: boolean; onToggle: () => void }) {
  const t = useModelsWords();
  const { name, method, rank, num_bytes, created_at } = adapter;
  const score = mainScore(adapter);
  return (
    <div className="pt-1 pb-2">
      <div className="flex items-start gap-1">
      <label className="flex min-h-9 min-w-0 flex-1 flex-wrap items-center gap-x-2">
        <input type="checkbox" className="size-4 shrink-0 accent-(--accent)" aria-label={t("compare.choose", { name })} checked={isChosen} onChange={onToggle} />
        <span className="min-w-0 flex-[1_1_8rem] truncate font-medium" title={name}>{name}</span>
        {score && (
          <span className="ml-auto shrink-0 text-xs text-muted" title={scoreTitle(score, t)}>
            {scoreTitle(score, t)} <span className="text-sm font-medium text-ink tabular-nums">{formatNumber(adapter.scores[score]!, 3)}</span>
          </span>
        )}
      </label>
      <AdapterMenu adapter={adapter} />
      </div>
      <p className="text-xs text-muted">
        {[methodName(method), rank === null ? "" : t("rank", { n: rank }), formatBytes(num_bytes)].filter(Boolean).join(" · ")}
        {created_at && <> · <time dateTime={created_at} title={formatMoment(created_at)}>{formatAgo(created_at)}</time></>}
      </p>
      <Lineage adapter={adapter} />
      {adapter.troubles.map((trouble) => <p key={trouble} className="mt-1 flex items-start gap-1.5 text-xs text-warn"><TriangleAlert size={14} aria-hidden className="mt-px shrink-0" />{trouble}</p>)}
    </div>
  );
}

const MADE = ["imported", "combined", "resized"] as const;

export function Lineage({ adapter: { dataset, dataset_name: from, dataset_version: version, task, origin, parents } }: { adapter: Adapter }) {
  const t = useModelsWords();
  const made = useAdapterWords();
  const how = MADE.find((one) => one === origin);
  if (how) return <p className="flex items-start gap-1.5 text-xs text-muted"><GitMerge size={13} aria-hidden className="mt-0.5 shrink-0" /><span className="min-w-0 [overflow-wrap:anywhere]">{made(`made.${how}`, { of: parents.join(", ") })}</span></p>;
  const said = version === null ? from : t("version", { name: from, n: version });
  if (!from && task === null) return <p className="text-xs text-muted">{t("elsewhere")}</p>;
  return (
    <p className="flex flex-wrap gap-x-4 text-xs text-muted">
      {from && (
        <span className="inline-flex min-w-0 items-center gap-1.5">
          <Database size={13} aria-label={t("from")} className="shrink-0" />
          {dataset === null ? <span className="min-w-0 break-words">{said}</span> : <Link href={`/datasets/${dataset}`} className={`${TEXT_LINK} inline-block min-w-0 py-1 break-words pointer-coarse:py-2.5`}>{said}</Link>}
        </span>
      )}
      {task !== null && (
        <span className="inline-flex items-center gap-1.5">
          <ListTodo size={13} aria-hidden className="shrink-0" />
          <Link href={`/tasks/${task}`} className={`${TEXT_LINK} inline-block py-1 pointer-coarse:py-2.5`}>{t("byTask", { n: String(task) })}</Link>
        </span>
      )}
    </p>
  );
}

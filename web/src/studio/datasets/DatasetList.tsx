/** The newest version of each name, older ones folded beneath. */
import { ChevronRight, PencilLine } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { formatAgo, formatBytes, formatMoment, formatNumber } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import type { Dataset } from "../api";
import { Badge } from "../parts/Badge";
import { Card } from "../parts/layout";
import { useStudioWords } from "../words";
import { drafts, isDirty } from "./drafts";
import { StateBadge } from "./StateBadge";
import { useDatasetWords } from "./words";

const GRID = "md:grid md:grid-cols-[minmax(0,1fr)_9rem_5.5rem_5rem_10rem_7.5rem] md:items-center md:gap-x-4";
/** Rows outside of the window are not laid out: ten thousand of them stay quick. */
const LAZY = "[contain-intrinsic-size:auto_3.75rem] [content-visibility:auto]";

export function grouped(list: Dataset[]): Dataset[][] {
  const groups = new Map<string, Dataset[]>();
  for (const one of list) {
    const group = groups.get(one.name);
    if (group) group.push(one);
    else groups.set(one.name, [one]);
  }
  return [...groups.values()];
}

export function DatasetList({ groups }: { groups: Dataset[][] }) {
  const t = useDatasetWords();
  const common = useStudioWords();
  return (
    <Card flush>
      <div aria-hidden className={`hidden border-b border-line px-4 py-2 text-xs font-medium text-muted ${GRID}`}>
        <span>{common("name")}</span>
        <span>{t("format")}</span>
        <span className="text-right">{t("rows")}</span>
        <span className="text-right">{t("size")}</span>
        <span>{t("state")}</span>
        <span className="text-right">{t("age")}</span>
      </div>
      <ul>{groups.map((versions) => <Group key={versions[0]!.name} versions={versions} />)}</ul>
    </Card>
  );
}

function Group({ versions: [newest, ...older] }: { versions: Dataset[] }) {
  const t = useDatasetWords();
  const [open, setOpen] = useState(false);
  return (
    <li className={`border-b border-line last:border-0 ${LAZY}`}>
      <Item dataset={newest!} />
      {older.length > 0 && (
        <button
          type="button"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
          className="flex min-h-9 w-full items-center gap-1 px-3 pb-1 text-xs font-medium text-muted hover:text-ink"
        >
          <ChevronRight size={14} aria-hidden className={`transition-transform ${open ? "rotate-90" : ""}`} />
          {t("versions.older", { n: older.length })}
        </button>
      )}
      {open && older.map((one) => <div key={one.id} className="border-t border-line bg-page last:rounded-b-lg"><Item dataset={one} isOlder /></div>)}
    </li>
  );
}

function Item({ dataset, isOlder }: { dataset: Dataset; isOlder?: boolean }) {
  const t = useDatasetWords();
  const common = useStudioWords();
  const hasDraft = useStore(drafts, (all) => isDirty(all[dataset.id]));
  const version = t("version", { n: dataset.version });
  const isCounted = dataset.is_read && !dataset.error;
  return (
    <Link href={`/datasets/${dataset.id}`} className={`flex flex-wrap items-center gap-x-3 gap-y-2 px-4 py-3 transition-colors hover:bg-raised ${GRID}`}>
      <span className="min-w-0 basis-full">
        <span className={`block truncate ${isOlder ? "" : "font-medium"}`} title={dataset.name}>{isOlder ? version : dataset.name}</span>
        {!isOlder && <span className="hidden text-xs text-muted md:block">{version}</span>}
        <span className="block text-xs text-muted md:hidden">
          {[isOlder ? "" : version, dataset.format, isCounted ? common("rows", { n: formatNumber(dataset.num_rows) }) : "", formatBytes(dataset.num_bytes)].filter(Boolean).join(" · ")}
        </span>
      </span>
      <span className="hidden truncate text-muted md:block">{dataset.format || "–"}</span>
      <span className="hidden text-right tabular-nums md:block">{isCounted ? formatNumber(dataset.num_rows) : "–"}</span>
      <span className="hidden text-right tabular-nums md:block">{formatBytes(dataset.num_bytes)}</span>
      <span className="flex flex-wrap gap-1.5">
        <StateBadge dataset={dataset} />
        {hasDraft && <Badge tone="accent" icon={PencilLine}>{t("unsaved")}</Badge>}
      </span>
      <time dateTime={dataset.created_at} title={formatMoment(dataset.created_at)} className="ml-auto text-right text-xs text-muted">{formatAgo(dataset.created_at)}</time>
    </Link>
  );
}

/** Models to choose from, each with the check's verdict. */
import { Lock } from "lucide-react";
import { useEffect, useState } from "react";
import { Badge } from "../parts/Badge";
import { FitBadge } from "./FitBadge";
import { useCheck } from "./hooks";
import { useTrainWords } from "./words";

export interface ModelItem {
  id: string;
  /** Family and size, or downloads and likes. */
  facts: string[];
  gated?: boolean;
  /** Why it cannot be used. */
  troubles?: string[];
}

const MAX_CHECKED = 8;

/** Checked one after the other: together they would keep the plan and everything else waiting. */
export function ModelRows({ items, onChoose }: { items: ModelItem[]; onChoose: (id: string) => void }) {
  const [settled, setSettled] = useState<ReadonlySet<string>>(new Set());
  const next = items.slice(0, MAX_CHECKED).findIndex(({ id, troubles }) => !settled.has(id) && !troubles?.length);
  return (
    <ul className="max-h-72 divide-y divide-line overflow-y-auto rounded-md border border-line">
      {items.map((item, index) => (
        <Row
          key={item.id}
          item={item}
          canCheck={index === next || settled.has(item.id)}
          onSettled={() => setSettled((before) => new Set(before).add(item.id))}
          onChoose={() => onChoose(item.id)}
        />
      ))}
    </ul>
  );
}

interface RowProps {
  item: ModelItem;
  canCheck: boolean;
  onSettled: () => void;
  onChoose: () => void;
}

function Row({ item: { id, facts, gated, troubles = [] }, canCheck, onSettled, onChoose }: RowProps) {
  const t = useTrainWords();
  const check = useCheck(id, canCheck);
  const isSettled = check.isSuccess || check.isError;
  useEffect(() => {
    if (isSettled) onSettled();
    // Once for each check, whatever the parent draws in between.
  }, [isSettled]);
  return (
    <li>
      <button
        type="button"
        disabled={troubles.length > 0}
        title={troubles.join("\n") || undefined}
        onClick={onChoose}
        className="flex min-h-11 w-full flex-wrap items-center gap-x-3 gap-y-1 px-3 py-1.5 text-left transition-colors hover:not-disabled:bg-raised focus-visible:bg-raised focus-visible:outline-offset-[-2px] disabled:opacity-60"
      >
        <span className="min-w-40 flex-1">
          <span className="block font-medium break-words">{id}</span>
          <span className="block text-xs text-muted">{facts.filter(Boolean).join(" · ")}</span>
        </span>
        {gated && <Badge tone="warn" icon={Lock} title={t("model.gatedWhy")}>{t("model.gated")}</Badge>}
        {troubles.length > 0 ? <Badge tone="bad">{t("model.damaged")}</Badge> : (canCheck || isSettled) && <FitBadge query={check} />}
      </button>
    </li>
  );
}

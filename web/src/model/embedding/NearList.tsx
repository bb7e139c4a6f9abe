import { formatNumber } from "~/shared/i18n";
import type { Embedded } from "./exports";
import type { Near } from "./vectors";

interface NearProps {
  near: Near[];
  embedded: Embedded;
  onChoose?: (index: number) => void;
}

export function NearList({ near, embedded: { texts, pictures }, onChoose }: NearProps) {
  return (
    <ol className="flex flex-col gap-1">
      {near.map(({ index, score }) => (
        <li key={index}>
          <button type="button" disabled={!onChoose} onClick={() => onChoose?.(index)} className="relative flex w-full cursor-pointer items-baseline gap-3 overflow-hidden rounded-md px-3 py-2 text-left disabled:cursor-default enabled:hover:bg-raised">
            <span aria-hidden className="absolute inset-y-0 left-0 bg-accent-soft" style={{ width: `${Math.max(0, score) * 100}%` }} />
            {pictures[index] && <img src={pictures[index]} alt="" className="relative size-10 shrink-0 self-center rounded-sm object-cover" />}
            <span className="relative min-w-0 flex-1 self-center break-words">{texts[index]}</span>
            <span className="relative self-center text-muted tabular-nums">{formatNumber(score, 3)}</span>
          </button>
        </li>
      ))}
    </ol>
  );
}

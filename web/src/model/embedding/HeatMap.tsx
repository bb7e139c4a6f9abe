/** How like each text is to each other, as a grid of colours. */
import { type PointerEvent, useEffect, useMemo, useState } from "react";
import { formatNumber, useT } from "~/shared/i18n";
import { useCanvas } from "../useCanvas";
import { type Embedded, hasPictures } from "./exports";
import { cosine } from "./vectors";

const MAX_SHOWN = 150;

export function HeatMap({ embedded }: { embedded: Embedded }) {
  const t = useT();
  const { ref, size, colours } = useCanvas();
  const [at, setAt] = useState<[number, number] | null>(null);
  const count = Math.min(MAX_SHOWN, embedded.vectors.length);
  const grid = useMemo(() => gridOf(embedded.vectors.slice(0, count)), [embedded, count]);

  useEffect(() => {
    const pen = ref.current?.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, size.width, size.height);
    const [low, span] = [grid.low, grid.high - grid.low || 1];
    const cell = size.width / count;
    const gap = cell > 8 ? 1 : 0;
    pen.fillStyle = colours.accent;
    for (let y = 0; y < count; y++) {
      for (let x = 0; x < count; x++) {
        pen.globalAlpha = 0.04 + 0.96 * Math.max(0, Math.min(1, (grid.values[y]![x]! - low) / span));
        pen.fillRect(x * cell, y * cell, cell - gap, cell - gap);
      }
    }
    pen.globalAlpha = 1;
  }, [grid, size, colours, count, ref]);

  const onMove = (event: PointerEvent): void => {
    const box = event.currentTarget.getBoundingClientRect();
    const cell = (offset: number, extent: number): number => Math.max(0, Math.min(count - 1, Math.floor((offset / extent) * count)));
    setAt([cell(event.clientX - box.left, box.width), cell(event.clientY - box.top, box.height)]);
  };
  const [x, y] = at ?? [0, 0];
  return (
    <div className="flex flex-col gap-4 lg:flex-row">
      <div className="relative aspect-square w-full max-w-[min(70dvh,48rem)] overflow-hidden rounded-lg border border-line bg-panel" onPointerMove={onMove} onPointerLeave={() => setAt(null)}>
        <canvas ref={ref} role="img" aria-label={t(hasPictures(embedded) ? "embed.heatLabelSee" : "embed.heatLabel", { n: count })} className="absolute inset-0 size-full" />
      </div>
      <div className="min-w-0 lg:w-72">
        <div className="flex items-center gap-2 text-xs text-muted tabular-nums">
          {formatNumber(grid.low, 2)}
          <span className="h-2 w-24 rounded-full bg-linear-to-r from-accent-soft to-accent" />
          {formatNumber(grid.high, 2)}
        </div>
        {embedded.vectors.length > count && <p className="mt-2 text-xs text-muted">{t("embed.heatCut", { n: count })}</p>}
        {at ? (
          <div className="mt-4 flex flex-col gap-2">
            <p className="text-lg font-semibold tabular-nums">{formatNumber(grid.values[y]![x]!, 3)}</p>
            {[y, x].map((index, place) => (
              <p key={place} className="flex items-center gap-3 rounded-md bg-raised px-3 py-2 break-words">
                {embedded.pictures[index] && <img src={embedded.pictures[index]} alt="" className="size-12 shrink-0 rounded-sm object-cover" />}
                <span className="min-w-0 flex-1">{embedded.texts[index]}</span>
              </p>
            ))}
          </div>
        ) : (
          <p className="mt-4 text-muted">{t("embed.heatHint")}</p>
        )}
      </div>
    </div>
  );
}

/** The diagonal is 1 by nature, so the scale follows from the rest. */
function gridOf(vectors: number[][]): { values: number[][]; low: number; high: number } {
  const values = vectors.map((a) => vectors.map((b) => cosine(a, b)));
  const others = values.flatMap((row, y) => row.filter((_, x) => x !== y));
  return { values, low: Math.min(...others, 1), high: others.length ? Math.max(...others) : 1 };
}

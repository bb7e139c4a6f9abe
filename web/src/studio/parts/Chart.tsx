/** Curves over steps, drawn by uPlot. Colours follow the theme; what is under the pointer stands in the legend above. */
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import { preferences } from "~/shared/storage/preferences";
import { useStore } from "~/shared/store";

export type Tone = "accent" | "ok" | "warn" | "bad" | "muted";
export interface Curve {
  label: string;
  points: readonly (readonly [number, number])[];
  tone: Tone;
  dashed?: boolean;
}
export interface Flag {
  at: number;
  label: string;
}

interface ChartProps {
  curves: Curve[];
  flags?: Flag[];
  /** A horizontal line, as of what was planned. */
  limit?: { value: number; label: string };
  format: (value: number) => string;
  /** Of the horizontal axis. */
  formatAt?: (value: number) => string;
  height?: number;
  /** Said to those who cannot see it. */
  label: string;
  small?: boolean;
}

/** The canvas knows no custom properties and no light-dark(): an element is asked what its colour came to. */
function colours(box: HTMLElement): (name: string) => string {
  const probe = box.appendChild(document.createElement("i"));
  const found = Object.fromEntries(
    ["accent", "ok", "warn", "bad", "muted", "line"].map((name) => {
      probe.style.color = `var(--${name === "accent" ? "accent-ink" : name})`;
      return [name, getComputedStyle(probe).color];
    }),
  );
  probe.remove();
  return (name) => found[name] ?? "gray";
}

function aligned(curves: Curve[]): uPlot.AlignedData {
  const xs = [...new Set(curves.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, index) => [x, index]));
  const rows = curves.map(({ points }) => {
    const row = new Array<number | null>(xs.length).fill(null);
    for (const [x, y] of points) row[place.get(x)!] = Number.isFinite(y) ? y : null;
    return row;
  });
  return [xs, ...rows];
}

const SWATCH: Record<Tone, string> = { accent: "bg-accent-ink", ok: "bg-ok", warn: "bg-warn", bad: "bg-bad", muted: "bg-muted" };

export function Chart({ curves, flags = [], limit, format, formatAt = String, height = 280, label, small }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [under, setUnder] = useState<number | null>(null);
  const theme = useStore(preferences, (p) => p.theme);
  const data = aligned(curves);
  const shape = curves.map(({ label: name, tone, dashed }) => `${name}|${tone}|${dashed}`).join();
  const drawn = useRef({ flags, limit });
  drawn.current = { flags, limit };

  useEffect(() => {
    const element = box.current!;
    const colour = colours(element);
    const [ink, line] = [colour("muted"), colour("line")];
    const font = '12px ui-sans-serif, system-ui, sans-serif';
    const options: uPlot.Options = {
      width: Math.max(120, element.clientWidth), height, legend: { show: false }, padding: [8, 8, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: (_, low, high) => range(low, high, drawn.current.limit?.value) } },
      axes: [
        { stroke: ink, font, size: small ? 22 : 28, grid: { show: false }, ticks: { show: false }, values: (_, at) => at.map(formatAt), space: small ? 70 : 60 },
        { stroke: ink, font, size: small ? 52 : 60, grid: { stroke: line, width: 1 }, ticks: { show: false }, values: (_, at) => at.map(format), space: small ? 34 : 44 },
      ],
      series: [
        {},
        ...curves.map(({ tone, dashed }) => ({
          stroke: colour(tone), width: 2, spanGaps: true, points: { show: false }, dash: dashed ? [5, 4] : undefined,
        })),
      ],
      hooks: {
        setCursor: [({ cursor }) => setUnder(cursor.idx ?? null)],
        draw: [(u) => drawMarks(u, drawn.current, colour)],
      },
    };
    const made = new uPlot(options, data, element);
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: Math.max(120, element.clientWidth), height }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.destroy();
      plot.current = null;
    };
    // Data comes by the effect below; what is drawn anew is another set of curves, or another theme.
  }, [shape, theme, height, small]);

  useEffect(() => {
    plot.current?.setData(data);
  });

  const index = under ?? data[0].length - 1;
  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 flex min-h-5 flex-wrap items-center gap-x-4 gap-y-1 text-xs">
        {curves.map(({ label: name, tone, dashed }, row) => {
          const value = lastKnown(data[row + 1] as (number | null)[], index, under !== null);
          return (
            <span key={name} className="inline-flex items-center gap-1.5">
              <i aria-hidden className={`h-0.5 w-3.5 rounded-full ${SWATCH[tone]} ${dashed ? "opacity-60" : ""}`} />
              <span className="text-muted">{name}</span>
              {value !== null && <span className="font-medium tabular-nums">{format(value)}</span>}
            </span>
          );
        })}
        {under !== null && data[0][under] !== undefined && <span className="text-muted tabular-nums">{formatAt(data[0][under])}</span>}
      </figcaption>
      <div ref={box} role="img" aria-label={label} className="relative w-full overflow-hidden" style={{ height }} />
    </figure>
  );
}

/** The value at the pointer, or the newest. */
function lastKnown(row: readonly (number | null | undefined)[], index: number, exact: boolean): number | null {
  for (let at = index; at >= 0; at--) {
    const value = row[at];
    if (value !== null && value !== undefined) return value;
    if (exact && index - at > 50) return null;
  }
  return null;
}

function range(low: number | null, high: number | null, limit: number | undefined): [number, number] {
  if (low === null || high === null) return [0, 1];
  const bottom = limit === undefined ? low : Math.min(low, limit);
  const top = limit === undefined ? high : Math.max(high, limit);
  const margin = (top - bottom || Math.abs(top) || 1) * 0.08;
  return [bottom >= 0 && bottom - margin < 0 ? 0 : bottom - margin, top + margin];
}

function drawMarks(u: uPlot, { flags, limit }: { flags: Flag[]; limit?: { value: number; label: string } }, colour: (name: string) => string): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.font = `${11 * ratio}px ui-sans-serif, system-ui, sans-serif`;
  ctx.lineWidth = ratio;
  ctx.setLineDash([4 * ratio, 4 * ratio]);
  if (limit) {
    const y = Math.round(u.valToPos(limit.value, "y", true));
    ctx.strokeStyle = ctx.fillStyle = colour("warn");
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.textAlign = "right";
    ctx.fillText(limit.label, bbox.left + bbox.width - 4 * ratio, y - 4 * ratio);
  }
  ctx.textAlign = "left";
  for (const [index, { at, label }] of flags.entries()) {
    const x = Math.round(u.valToPos(at, "x", true));
    ctx.strokeStyle = ctx.fillStyle = colour("muted");
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const isRight = x > bbox.left + bbox.width * 0.8;
    ctx.textAlign = isRight ? "right" : "left";
    ctx.fillText(label, x + (isRight ? -4 : 4) * ratio, bbox.top + (12 + 14 * (index % 3)) * ratio);
  }
  ctx.restore();
}

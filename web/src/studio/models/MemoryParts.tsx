/** What memory goes to: a bar of its parts, and the same parts by name. */
import { formatBytes } from "~/shared/i18n";
import { humanised } from "~/shared/schema";
import type { Verdict } from "../api";
import { isPart, useCheckWords } from "./checkWords";

/** Mixed of the theme's own colours; names and sizes stand beside them wherever they are explained. */
const COLOURS: Record<string, string> = {
  weights: "var(--accent)",
  adapter: "color-mix(in oklch, var(--accent), var(--ok))",
  cache: "color-mix(in oklch, var(--accent) 25%, var(--ok))",
  activations: "color-mix(in oklch, var(--accent), var(--bad))",
  logits: "color-mix(in oklch, var(--bad), var(--warn))",
  runtime: "var(--line-strong)",
  allocator: "color-mix(in oklch, var(--line-strong) 50%, var(--panel))",
  learned: "var(--muted)",
};
const colourOf = (name: string): string => COLOURS[name] ?? "var(--muted)";

/** The system takes these pages back when memory is short, so that they are no part of what must be free. */
const TAKEN_BACK = "loading";
const ORDER = Object.keys(COLOURS);
const placeOf = (name: string): number => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
const partsOf = ({ parts }: Verdict): [string, number][] =>
  Object.entries(parts).filter(([name, bytes]) => bytes !== 0 && name !== TAKEN_BACK).sort(([a], [b]) => placeOf(a) - placeOf(b));

/** Where the free memory ends. */
export const MARK = "w-0.5 rounded-full bg-ink";

interface BarProps {
  verdict: Verdict;
  /** Bytes that the whole width stands for; what is more fades out at its end. */
  scale: number;
  /** Marked where it lies within the scale. */
  free: number | null;
  tall?: boolean;
}

export function MemoryBar({ verdict, scale, free, tall }: BarProps) {
  const parts = partsOf(verdict).filter(([, bytes]) => bytes > 0);
  const sum = parts.reduce((total, [, bytes]) => total + bytes, 0) || 1;
  return (
    <div aria-hidden className={`relative w-full rounded-full bg-raised ${tall ? "h-3" : "h-2"}`}>
      <div className={`h-full overflow-hidden rounded-full ${verdict.memory > scale ? "mask-r-from-85%" : ""}`}>
        <div className="flex h-full gap-px overflow-hidden rounded-r-full" style={{ width: `${(verdict.memory / scale) * 100}%` }}>
          {parts.map(([name, bytes]) => <span key={name} className="h-full shrink-0" style={{ width: `${(bytes / sum) * 100}%`, background: colourOf(name) }} />)}
        </div>
      </div>
      {free !== null && free < scale && <span className={`absolute -top-1 -bottom-1 ${MARK}`} style={{ left: `${(free / scale) * 100}%` }} />}
    </div>
  );
}

export function PartsList({ verdict }: { verdict: Verdict }) {
  const t = useCheckWords();
  const back = verdict.parts[TAKEN_BACK] ?? 0;
  return (
    <>
      <ul className="grid items-start gap-x-8 gap-y-2.5 sm:grid-cols-2 xl:grid-cols-3">
        {partsOf(verdict).map(([name, bytes]) => (
          <li key={name} className="grid grid-cols-[auto_1fr_auto] items-baseline gap-x-2">
            <span aria-hidden className="size-2.5 rounded-sm" style={{ background: colourOf(name) }} />
            <span className="font-medium">{isPart(name) ? t(`part.${name}`) : humanised(name)}</span>
            <span className="tabular-nums">{bytes < 0 ? "−" : ""}{formatBytes(Math.abs(bytes))}</span>
            {isPart(name) && <span className="col-start-2 text-xs text-pretty text-muted">{t(`part.${name}.why`)}</span>}
          </li>
        ))}
      </ul>
      {back > 0 && <p className="mt-3 text-xs text-pretty text-muted">{t("part.loading", { size: formatBytes(back) })}</p>}
    </>
  );
}

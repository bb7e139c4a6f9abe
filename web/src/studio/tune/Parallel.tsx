/** Every trial as a line through its parameters, to its loss. */
import type { Trial } from "../api";
import { formatParam, lastLoss } from "./trials";
import { useTuneWords } from "./words";

interface ParallelProps {
  trials: Trial[];
  best: number | null;
  marked: number | null;
  onMark: (number: number | null) => void;
}

const [WIDTH, TOP, BOTTOM, GAP] = [1000, 34, 222, 70];

interface Axis {
  name: string;
  place: (trial: Trial) => number;
  ends: [string, string];
}

function axisOf(name: string, trials: Trial[], value: (trial: Trial) => unknown): Axis {
  const values = trials.map(value);
  if (values.every((one) => typeof one === "number")) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    // What spans decades, as a rate, is told apart on a logarithmic scale only.
    const scale = low > 0 && high / low > 20 ? Math.log : (one: number) => one;
    const span = scale(high) - scale(low) || 1;
    return { name, place: (trial) => (scale(value(trial) as number) - scale(low)) / span, ends: [formatParam(low), formatParam(high)] };
  }
  const kinds = [...new Set(values.map(String))].sort();
  return { name, place: (trial) => (kinds.length > 1 ? kinds.indexOf(String(value(trial))) / (kinds.length - 1) : 0.5), ends: [kinds[0]!, kinds.at(-1)!] };
}

export function Parallel({ trials, best, marked, onMark }: ParallelProps) {
  const t = useTuneWords();
  const whole = trials.filter(({ params }) => Object.keys(params).length > 0);
  const names = [...new Set(whole.flatMap(({ params }) => Object.keys(params)))].filter((name) => new Set(whole.map(({ params }) => String(params[name]))).size > 1);
  const axes = [...names.map((name) => axisOf(name, whole, ({ params }) => params[name])), axisOf(t("loss"), whole, lastLoss)];
  const step = (WIDTH - 2 * GAP) / Math.max(1, axes.length - 1);
  const x = (index: number): number => GAP + index * step;
  const y = (share: number): number => BOTTOM - share * (BOTTOM - TOP);
  const ordered = [...whole].sort((a, b) => Number(a.number === best || a.number === marked) - Number(b.number === best || b.number === marked));
  return (
    <div className="overflow-x-auto">
      <svg role="img" aria-label={t("parallel.label")} viewBox={`0 0 ${WIDTH} 250`} className="min-w-[44rem] w-full">
        {axes.map(({ name, ends }, index) => (
          <g key={name} className="text-[11px]">
            <line x1={x(index)} x2={x(index)} y1={TOP} y2={BOTTOM} className="stroke-line-strong" />
            <text x={x(index)} y={14} textAnchor="middle" className="fill-ink font-medium">{name}</text>
            <text x={x(index)} y={28} textAnchor="middle" className="fill-muted">{ends[1]}</text>
            <text x={x(index)} y={240} textAnchor="middle" className="fill-muted">{ends[0]}</text>
          </g>
        ))}
        {ordered.map((trial) => (
          <polyline
            key={trial.number}
            points={axes.map((axis, index) => `${x(index)},${y(axis.place(trial))}`).join(" ")}
            fill="none"
            strokeLinejoin="round"
            className={trial.number === marked ? "stroke-warn" : trial.number === best ? "stroke-accent-ink" : "stroke-line-strong opacity-50"}
            strokeWidth={trial.number === marked || trial.number === best ? 2.5 : 1.2}
            onPointerEnter={() => onMark(trial.number)}
            onPointerLeave={() => onMark(null)}
          >
            <title>{t("trial", { n: trial.number })}</title>
          </polyline>
        ))}
      </svg>
    </div>
  );
}

/** A text with the names that were found in it. */
import { formatNumber } from "~/shared/i18n";
import { tint } from "../tints";

export interface Entity {
  label: string;
  score: number;
  start: number;
  end: number;
  text: string;
}

export function Marked({ text, entities }: { text: string; entities: Entity[] }) {
  // The server counts characters, JavaScript pairs of surrogates.
  const characters = [...text];
  const kinds = [...new Set(entities.map(({ label }) => label))];
  const parts = [];
  let at = 0;
  for (const { label, score, start, end } of [...entities].sort((a, b) => a.start - b.start)) {
    if (start < at) continue;
    parts.push(characters.slice(at, start).join(""));
    parts.push(
      <mark
        key={start}
        title={`${label}: ${formatNumber(score * 100, 1)} %`}
        className="rounded-sm px-1 py-0.5 text-ink"
        style={{ background: `color-mix(in oklch, ${tint(kinds.indexOf(label))} 26%, transparent)` }}
      >
        {characters.slice(start, end).join("")}{"\u00a0"}<span className="text-xs font-semibold">{label}</span>
      </mark>,
    );
    at = end;
  }
  parts.push(characters.slice(at).join(""));
  return <>{parts}</>;
}

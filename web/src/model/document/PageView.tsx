/** A page and what was read from it; hovering a field shows its words, hovering a word its field. */
import { Download } from "lucide-react";
import { useMemo, useState } from "react";
import { Button } from "~/shared/components/Button";
import { CopyButton } from "~/shared/components/CopyButton";
import { Tabs } from "~/shared/components/Tabs";
import { download } from "~/shared/files";
import type { Blob64 } from "~/shared/api/types";
import { formatNumber, useT } from "~/shared/i18n";
import { tint } from "../tints";
import { type Row, rowsOf, type Word, wordsIn } from "./fields";

export interface Read {
  text?: string;
  fields?: Record<string, unknown>;
  words?: Word[];
  /** Which of the files that were sent it was read from. */
  file?: number;
  /** The page as it was read, where the file is a PDF. */
  picture?: Blob64;
}

export function PageView({ url, read }: { url: string; read: Read | undefined }) {
  const t = useT();
  const [lit, setLit] = useState<number[]>([]);
  const words = read?.words ?? [];
  const rows = useMemo(() => rowsOf(read?.fields ?? {}), [read]);
  return (
    <div className="flex flex-col gap-6 lg:flex-row">
      <div className="min-w-0 flex-1">
        <div className="relative mx-auto w-max max-w-full overflow-hidden rounded-lg border border-line">
          <img src={url} alt={t("document.page")} className="block max-h-[76dvh] max-w-full" />
          <Words words={words} lit={lit} onLit={setLit} />
        </div>
      </div>
      {read && <Results read={read} rows={rows} words={words} lit={lit} onLit={setLit} />}
    </div>
  );
}

interface LitProps {
  words: Word[];
  lit: number[];
  onLit: (words: number[]) => void;
}

function Words({ words, lit, onLit }: LitProps) {
  const kinds = [...new Set(words.map(({ label }) => label))];
  return (
    <svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden className="absolute inset-0 size-full">
      {words.map(({ text, label, score, box: [x1, y1, x2, y2] }, index) => (
        <rect
          key={index}
          x={x1}
          y={y1}
          width={Math.max(0, x2 - x1)}
          height={Math.max(0, y2 - y1)}
          fill={tint(kinds.indexOf(label))}
          fillOpacity={lit.includes(index) ? 0.45 : 0.12}
          stroke={tint(kinds.indexOf(label))}
          strokeWidth={1.5}
          vectorEffect="non-scaling-stroke"
          onPointerEnter={() => onLit([index])}
          onPointerLeave={() => onLit([])}
        >
          <title>{[text, label, score === undefined ? "" : `${formatNumber(score * 100)} %`].filter(Boolean).join(" · ")}</title>
        </rect>
      ))}
    </svg>
  );
}

function Results({ read, rows, words, lit, onLit }: LitProps & { read: Read; rows: Row[] }) {
  const t = useT();
  const all = [
    { name: "fields", title: t("document.fields"), has: rows.length > 0 },
    { name: "text", title: t("document.text"), has: Boolean(read.text) },
    { name: "words", title: t("document.words"), has: words.length > 0 },
  ] as const;
  const tabs = all.filter(({ has }) => has);
  const [wish, setWish] = useState<string>("fields");
  const view = tabs.find(({ name }) => name === wish)?.name ?? tabs[0]?.name;
  if (!view) return <p className="text-muted lg:w-96">{t("document.nothing")}</p>;
  const save = (): void => download("document.json", JSON.stringify(read, null, 2), "application/json");
  return (
    <div className="flex shrink-0 flex-col gap-3 lg:w-96">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <Tabs label={t("document.results")} tabs={[...tabs]} chosen={view} onChoose={setWish} />
        <span className="flex items-center">
          {read.text && <CopyButton text={() => read.text ?? ""} />}
          <Button kind="quiet" icon={Download} onClick={save}>JSON</Button>
        </span>
      </div>
      {view === "fields" && <Fields rows={rows} words={words} lit={lit} onLit={onLit} />}
      {view === "text" && <p className="rounded-lg border border-line bg-panel p-4 break-words whitespace-pre-wrap">{read.text}</p>}
      {view === "words" && <WordList words={words} lit={lit} onLit={onLit} />}
    </div>
  );
}

function Fields({ rows, words, lit, onLit }: LitProps & { rows: Row[] }) {
  return (
    <div className="overflow-hidden rounded-lg border border-line bg-panel">
      <table className="w-full">
        <tbody>
          {rows.map((row) => {
            const own = wordsIn(row, words);
            return (
              <tr key={row.path} tabIndex={own.length ? 0 : undefined} onPointerEnter={() => onLit(own)} onPointerLeave={() => onLit([])} onFocus={() => onLit(own)} onBlur={() => onLit([])} className={`border-line not-last:border-b ${own.some((index) => lit.includes(index)) ? "bg-accent-soft" : ""}`}>
                <th scope="row" className="w-2/5 px-3 py-2 text-left align-top font-normal break-words text-muted">{row.path}</th>
                <td className="px-3 py-2 font-medium break-words tabular-nums">{row.value}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function WordList({ words, lit, onLit }: LitProps) {
  return (
    <ul className="max-h-[70dvh] overflow-y-auto rounded-lg border border-line bg-panel p-1">
      {words.map(({ text, label, score }, index) => (
        <li key={index} onPointerEnter={() => onLit([index])} onPointerLeave={() => onLit([])} className={`flex gap-3 rounded-md px-3 py-1.5 [contain-intrinsic-size:auto_32px] [content-visibility:auto] ${lit.includes(index) ? "bg-accent-soft" : ""}`}>
          <span className="min-w-0 flex-1 break-words">{text}</span>
          <span className="text-muted">{label}</span>
          {score !== undefined && <span className="w-12 text-right text-muted tabular-nums">{formatNumber(score * 100)} %</span>}
        </li>
      ))}
    </ul>
  );
}

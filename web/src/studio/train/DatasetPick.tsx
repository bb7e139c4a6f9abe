/** Earlier datasets, as a select with a search. */
import { ChevronsUpDown, LoaderCircle } from "lucide-react";
import { type KeyboardEvent, useId, useRef, useState } from "react";
import { formatAgo, formatMoment, formatNumber } from "~/shared/i18n";
import type { Dataset } from "../api";
import { Badge } from "../parts/Badge";
import { INPUT } from "../parts/layout";
import { useStudioWords } from "../words";
import { useTrainWords } from "./words";

const MAX_SHOWN = 50;

export function DatasetPick({ all, onChoose }: { all: Dataset[]; onChoose: (id: number) => void }) {
  const t = useTrainWords();
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter(({ name, format }) => words.every((word) => `${name} ${format}`.toLowerCase().includes(word))).slice(0, MAX_SHOWN);
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && !open) setOpen(true);
    else if (step && found.length) setAt((at + step + found.length) % found.length);
    else if (event.key === "Enter" && open && found[at]) onChoose(found[at].id);
    else if (event.key === "Escape" && open) setOpen(false);
    else return;
    event.preventDefault();
  };
  return (
    <div ref={box} onBlur={(event) => { if (!box.current?.contains(event.relatedTarget)) setOpen(false); }}>
      <label htmlFor={id} className="mb-1 block text-muted">{t("dataset.earlier")}</label>
      <div className="relative">
        <input
          id={id}
          role="combobox"
          autoComplete="off"
          aria-expanded={open}
          aria-controls={`${id}-list`}
          aria-activedescendant={open && found[at] ? `${id}-${at}` : undefined}
          placeholder={t("dataset.search")}
          className={`${INPUT} pr-9`}
          value={text}
          onFocus={() => setOpen(true)}
          onClick={() => setOpen(true)}
          onChange={(event) => { setText(event.target.value); setAt(0); setOpen(true); }}
          onKeyDown={onKeyDown}
        />
        <ChevronsUpDown size={16} aria-hidden className="pointer-events-none absolute top-2.5 right-3 text-muted" />
        {open && (
          <ul id={`${id}-list`} role="listbox" tabIndex={-1} aria-label={t("dataset.earlier")} className="appear absolute z-20 mt-1 max-h-72 w-full overflow-y-auto rounded-md border border-line bg-panel p-1 shadow-lifted">
            {!found.length && <li className="px-3 py-2 break-words text-muted">{t("dataset.none", { text })}</li>}
            {found.map((dataset, index) => (
              <Option key={dataset.id} id={`${id}-${index}`} dataset={dataset} isAt={index === at} onPoint={() => setAt(index)} onChoose={() => onChoose(dataset.id)} />
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}

interface OptionProps {
  id: string;
  dataset: Dataset;
  isAt: boolean;
  onPoint: () => void;
  onChoose: () => void;
}

function Option({ id, dataset, isAt, onPoint, onChoose }: OptionProps) {
  const t = useTrainWords();
  const studio = useStudioWords();
  const { name, version, format, num_rows: rows, created_at: made, error, is_read: isRead } = dataset;
  return (
    <li
      id={id}
      role="option"
      aria-selected={isAt}
      ref={(node) => { if (isAt) node?.scrollIntoView({ block: "nearest" }); }}
      className={`flex min-h-9 cursor-pointer items-center gap-3 rounded-md px-3 py-1.5 ${isAt ? "bg-accent-soft" : ""}`}
      onPointerMove={onPoint}
      // Before the input loses the focus, which would close the list under the pointer.
      onMouseDown={(event) => event.preventDefault()}
      onClick={onChoose}
    >
      <span className="min-w-0 flex-1">
        <span className="block truncate" title={name}>{name}{version > 1 && <span className="text-muted"> v{formatNumber(version)}</span>}</span>
        <span className="block truncate text-xs text-muted">{isRead && !error && `${format} · ${studio("rows", { n: rows })}`}</span>
      </span>
      {!isRead && <Badge icon={LoaderCircle}>{t("dataset.reading")}</Badge>}
      {error && <Badge tone="bad">{t("dataset.bad")}</Badge>}
      <time dateTime={made} title={formatMoment(made)} className="shrink-0 text-xs text-muted">{formatAgo(made)}</time>
    </li>
  );
}

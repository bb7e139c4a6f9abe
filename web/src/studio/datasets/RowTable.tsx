/** Rows as they are in the file; edited, they become the next version. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Pencil, Plus } from "lucide-react";
import { useEffect, useState } from "react";
import { useLocation } from "wouter";
import { Button } from "~/shared/components/Button";
import { toast } from "~/shared/components/Toasts";
import { type Dataset, datasets, type Row } from "../api";
import { queries } from "../live";
import { Card, Skeletons, TABLE, TD, TH } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { toastError } from "../problems";
import { EditedRow } from "./EditedRow";
import { MediaStrip } from "./MediaStrip";
import { Pager } from "./Pager";
import { useDatasetWords } from "./words";

const LIMIT = 50;
const SHOWN_CHARACTERS = 400;
export type Fields = Record<string, unknown>;

export function RowTable({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  const [, navigate] = useLocation();
  const [start, setStart] = useState(0);
  const [isEditing, setEditing] = useState(false);
  const [changes, setChanges] = useState<Record<number, Fields | null>>({});
  const [added, setAdded] = useState<Fields[]>([]);
  const [broken, setBroken] = useState<ReadonlySet<string>>(new Set());
  const query = useQuery({
    queryKey: ["rows", dataset.id, start, dataset.is_read], queryFn: () => datasets.rows(dataset.id, start, LIMIT), placeholderData: (before) => before, staleTime: Infinity,
  });
  const isChanged = Object.keys(changes).length + added.length > 0;
  useEffect(() => {
    if (!isChanged) return;
    const warn = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [isChanged]);
  const discard = (): void => { setChanges({}); setAdded([]); setBroken(new Set()); setEditing(false); };
  const save = useMutation({
    mutationFn: () => datasets.edit(dataset.id, changes, added), onError: toastError,
    onSuccess: (made) => {
      discard();
      void queries.invalidateQueries({ queryKey: ["datasets"] });
      toast(t("edit.saved", { n: made.version }));
      navigate(`/datasets/${made.id}`);
    },
  });
  const mark = (key: string, isBroken: boolean): void => setBroken((before) => {
    const after = new Set(before);
    if (isBroken) after.add(key); else after.delete(key);
    return after;
  });
  const change = (line: number, fields: Fields | null | undefined): void => setChanges(({ [line]: _, ...others }) => (fields === undefined ? others : { ...others, [line]: fields }));
  const removed = Object.values(changes).filter((one) => one === null).length;
  // Of an archive there are no rows yet, or never: why stands above.
  if (query.error && (dataset.error || !dataset.is_read)) return dataset.error ? null : <Skeletons rows={4} className="h-20" />;
  return (
    <Loaded query={query}>
      {({ items, total }) => {
        const columns = [...new Set(items.flatMap(({ row }) => Object.keys(row)))];
        return (
          <>
            <Card flush aside={<div className="flex w-full flex-wrap items-center justify-between gap-2"><Pager start={start} limit={LIMIT} total={total} onStart={setStart} />{!isEditing && !dataset.is_folder && <Button icon={Pencil} onClick={() => setEditing(true)}>{t("edit")}</Button>}</div>}>
              <div className="overflow-x-auto">
                <table className={TABLE}>
                  <thead><tr><th scope="col" className={TH}>{t("line")}</th>{columns.map((name) => <th key={name} scope="col" className={TH}>{name}</th>)}</tr></thead>
                  <tbody>
                    {items.map((row, index) => isEditing
                      ? <EditedRow key={row.line} row={row} columns={columns} fields={row.line in changes ? changes[row.line]! : undefined} onChange={(fields) => change(row.line, fields)} onBroken={mark} />
                      : <PlainRow key={start + index} row={row} dataset={dataset} number={start + index + 1} columns={columns} />)}
                    {isEditing && added.map((fields, index) => (
                      <EditedRow key={`new${index}`} row={{ line: 0, row: {}, problem: "", file: "", media: {} }} columns={columns} fields={fields} isNew onChange={(one) => setAdded(one ? added.with(index, one) : added.toSpliced(index, 1))} onBroken={mark} />
                    ))}
                  </tbody>
                </table>
              </div>
              {isEditing && <div className="p-3"><Button icon={Plus} onClick={() => setAdded([...added, Object.fromEntries(columns.map((name) => [name, ""]))])}>{t("edit.add")}</Button></div>}
            </Card>
            {isEditing && (
              <div className="appear sticky bottom-3 z-10 flex flex-wrap items-center justify-between gap-3 rounded-lg border border-line bg-panel px-4 py-3 shadow-lifted">
                <span role="status">{t("edit.bar", { changed: Object.keys(changes).length - removed, removed, added: added.length })}</span>
                <span className="flex gap-2">
                  <Button onClick={discard}>{t("discard")}</Button>
                  <Button kind="primary" disabled={!isChanged || broken.size > 0 || save.isPending} onClick={() => save.mutate()}>{t("edit.save", { n: dataset.version + 1 })}</Button>
                </span>
              </div>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

export const asText = (value: unknown): string => (typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value, null, 1));

interface PlainRowProps {
  row: Row;
  dataset: Dataset;
  /** Counted from one over all files. */
  number: number;
  columns: string[];
}

function PlainRow({ row: { line, row, problem, file, media }, dataset, number, columns }: PlainRowProps) {
  return (
    <tr>
      <td className={`${TD} w-20 text-muted tabular-nums`}>
        {line || number}
        {file && line > 0 && <span className="block max-w-32 truncate text-xs" title={file}>{file}</span>}
      </td>
      {problem ? <td colSpan={Math.max(1, columns.length)} className={`${TD} text-bad`}>{problem}</td> : columns.map((name) => (
        <td key={name} className={`${TD} max-w-md min-w-40`}>
          {media[name] && <MediaStrip dataset={dataset.id} names={media[name]} />}
          <Cell value={row[name]} />
        </td>
      ))}
    </tr>
  );
}

/** A long text is cut; a click shows the whole. */
function Cell({ value }: { value: unknown }) {
  const [open, setOpen] = useState(false);
  const text = asText(value);
  const isLong = text.length > SHOWN_CHARACTERS;
  const shown = <span className={`break-words whitespace-pre-wrap ${typeof value === "string" ? "" : "font-mono text-xs"}`}>{isLong && !open ? `${text.slice(0, SHOWN_CHARACTERS)} …` : text}</span>;
  if (!isLong) return shown;
  return <button type="button" aria-expanded={open} className="text-left" onClick={() => setOpen(!open)}>{shown}</button>;
}

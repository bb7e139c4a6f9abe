/** All datasets. Files are dropped anywhere. */
import { useMutation } from "@tanstack/react-query";
import { Database, FileUp, FlaskConical, SearchX, Upload } from "lucide-react";
import { type DragEvent, useRef, useState } from "react";
import { useLocation } from "wouter";
import { Button } from "~/shared/components/Button";
import { Empty } from "~/shared/components/states";
import { type Dataset, datasets } from "../api";
import { queries } from "../live";
import { INPUT, Page, PageHead, Skeletons } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { toastError } from "../problems";
import { DatasetList, grouped } from "./DatasetList";
import { UploadList } from "./UploadList";
import { refuse, sendAll } from "./uploads";
import { useDatasets } from "./useDatasets";
import { sayDataset, useDatasetWords } from "./words";

const hasFiles = (event: DragEvent): boolean => event.dataTransfer.types.includes("Files");

function take({ dataTransfer }: DragEvent): void {
  const isFolder = [...dataTransfer.items].map((item) => item.webkitGetAsEntry()?.isDirectory ?? false);
  const files = [...dataTransfer.files];
  for (const [index, { name }] of files.entries()) if (isFolder[index]) refuse(name, sayDataset("upload.folder"));
  sendAll(files.filter((_, index) => !isFolder[index]));
}

export function DatasetsPage() {
  const t = useDatasetWords();
  const [over, setOver] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const query = useDatasets();
  const onDrop = (event: DragEvent): void => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setOver(false);
    take(event);
  };
  return (
    <div
      className="min-h-full"
      onDragOver={(event) => { if (hasFiles(event)) { event.preventDefault(); setOver(true); } }}
      onDragLeave={(event) => { if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false); }}
      onDrop={onDrop}
    >
      {over && (
        <div className="appear pointer-events-none fixed inset-3 top-16 z-20 grid place-items-center rounded-lg border-2 border-dashed border-accent bg-accent-soft/90">
          <p className="flex flex-col items-center gap-2 text-base font-semibold text-accent-ink"><FileUp size={28} aria-hidden />{t("drop.release")}</p>
        </div>
      )}
      <Page>
        <PageHead title={t("title")} text={t("text")}>
          <Button kind="primary" icon={Upload} onClick={() => picker.current?.click()}>{t("upload")}</Button>
          <input ref={picker} type="file" multiple hidden aria-label={t("upload")} onChange={(event) => { sendAll([...(event.target.files ?? [])]); event.target.value = ""; }} />
        </PageHead>
        <UploadList />
        <Loaded query={query} loading={<Skeletons rows={5} className="h-15" />}>{(list) => (list.length ? <Found list={list} /> : <Nothing />)}</Loaded>
      </Page>
    </div>
  );
}

function Found({ list }: { list: Dataset[] }) {
  const t = useDatasetWords();
  const [text, setText] = useState("");
  const sought = text.trim().toLowerCase();
  const groups = grouped(list.filter(({ name, format }) => `${name} ${format}`.toLowerCase().includes(sought)));
  return (
    <>
      <div className="flex flex-wrap items-center justify-between gap-2">
        <input type="search" aria-label={t("search")} placeholder={t("search")} className={`${INPUT} sm:max-w-80`} value={text} onChange={(event) => setText(event.target.value)} />
        <span className="hidden text-xs text-muted md:inline">{t("drop")}</span>
      </div>
      {groups.length ? <DatasetList groups={groups} /> : (
        <Empty icon={SearchX} title={t("none", { text: text.trim() })} text={t("formats")}>
          <Button onClick={() => setText("")}>{t("search.clear")}</Button>
        </Empty>
      )}
    </>
  );
}

function Nothing() {
  const t = useDatasetWords();
  const [, navigate] = useLocation();
  const sample = useMutation({
    mutationFn: datasets.sample,
    onError: toastError,
    onSuccess: ({ id }) => {
      void queries.invalidateQueries({ queryKey: ["datasets"] });
      navigate(`/datasets/${id}`);
    },
  });
  return (
    <Empty icon={Database} title={t("empty.title")} text={t("empty.text")}>
      <p className="-mt-2 text-xs text-muted">{t("formats")}</p>
      <Button icon={FlaskConical} disabled={sample.isPending} onClick={() => sample.mutate()}>{t("sample")}</Button>
    </Empty>
  );
}

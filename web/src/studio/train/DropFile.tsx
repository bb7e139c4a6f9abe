/** Where a file of examples is dropped or chosen, and how far it is. */
import { FileUp, RotateCcw, X } from "lucide-react";
import { type DragEvent, useRef, useState } from "react";
import { Button, IconButton } from "~/shared/components/Button";
import { ErrorNote, Progress } from "~/shared/components/states";
import { formatBytes, formatNumber } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { cancelUpload, refuse, send, sendAgain, upload } from "./upload";
import { say, useTrainWords } from "./words";

const ACCEPTED = ".jsonl,.ndjson,.json,.csv,.tsv,.parquet,.arrow,.txt,.md,.gz,.zst,.bz2,.xz,.zip,.tar,.tgz";

function takeFiles(files: File[]): void {
  const [file] = files;
  if (!file) return;
  if (files.length > 1) refuse(file.name, say("upload.many", { n: files.length }));
  else if (!file.size) refuse(file.name, say("upload.empty", { name: file.name }));
  else void send(file);
}

export function DropFile() {
  const t = useTrainWords();
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const { phase, name, error, canRepeat } = useStore(upload, (u) => u);
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    const entry = event.dataTransfer.items[0]?.webkitGetAsEntry();
    if (entry?.isDirectory) refuse(entry.name, t("upload.folder"));
    else takeFiles([...event.dataTransfer.files]);
  };
  if (phase === "sending" || phase === "reading") return <UnderWay />;
  return (
    <>
      {phase === "failed" && error && (
        <div className="flex flex-col gap-2">
          <ErrorNote error={error.code === "lost" ? error : { message: t("upload.failed", { name }), hint: [error.message, error.hint].filter(Boolean).join("\n") }} />
          <div className="flex flex-wrap gap-2">
            {canRepeat && <Button icon={RotateCcw} onClick={sendAgain}>{t("upload.again")}</Button>}
            <Button kind={canRepeat ? "quiet" : "plain"} onClick={cancelUpload}>{t("upload.other")}</Button>
          </div>
        </div>
      )}
      <div
        hidden={phase === "failed"}
        onDragEnter={(event) => { event.preventDefault(); setOver(true); }}
        onDragOver={(event) => event.preventDefault()}
        onDragLeave={(event) => { if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false); }}
        onDrop={onDrop}
      >
        <input
          ref={input}
          type="file"
          hidden
          accept={ACCEPTED}
          aria-label={t("dataset.drop")}
          onChange={(event) => { takeFiles([...(event.target.files ?? [])]); event.target.value = ""; }}
        />
        <button
          type="button"
          onClick={() => input.current?.click()}
          className={`flex min-h-36 w-full flex-col items-center justify-center gap-1.5 rounded-lg border border-dashed px-4 py-6 text-center transition-colors ${over ? "border-accent bg-accent-soft" : "border-line-strong hover:bg-raised"}`}
        >
          <FileUp size={24} aria-hidden className={over ? "text-accent-ink" : "text-muted"} />
          <span className="font-medium">{t(over ? "dataset.release" : "dataset.drop")}</span>
          <span className="max-w-md text-xs text-pretty text-muted">{t("dataset.formats")}</span>
        </button>
      </div>
    </>
  );
}

function UnderWay() {
  const t = useTrainWords();
  const { phase, name, sent, total } = useStore(upload, (u) => u);
  const isSending = phase === "sending";
  return (
    <div className="flex min-h-36 flex-col justify-center gap-2 rounded-lg border border-line px-4 py-4">
      <div className="flex items-center gap-2">
        <FileUp size={18} aria-hidden className="shrink-0 text-muted" />
        <span className="min-w-0 flex-1 truncate font-medium" title={name}>{name}</span>
        {isSending && <span className="tabular-nums">{formatNumber(total ? (sent / total) * 100 : 0)} %</span>}
        <IconButton label={t("upload.cancel")} icon={X} onClick={cancelUpload} />
      </div>
      <Progress done={sent} total={isSending ? total : null} label={name} />
      <p role="status" className="text-xs text-muted tabular-nums">
        {isSending ? t("upload.sending", { sent: formatBytes(sent), total: formatBytes(total) }) : t("upload.reading")}
      </p>
    </div>
  );
}

/** What is being uploaded, waits for it, or has failed. */
import { FileUp, RotateCcw, X } from "lucide-react";
import { Button, IconButton } from "~/shared/components/Button";
import { ErrorNote, Progress } from "~/shared/components/states";
import { formatBytes, formatNumber, useT } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { Card } from "../parts/layout";
import { dismiss, sendAgain, type Upload, uploads } from "./uploads";
import { useDatasetWords } from "./words";

export function UploadList() {
  const t = useDatasetWords();
  const list = useStore(uploads, (u) => u.list);
  const failed = list.filter(({ phase }) => phase === "failed");
  const going = list.filter(({ phase }) => phase !== "failed");
  return (
    <>
      {failed.map((one) => <Failed key={one.id} upload={one} />)}
      {going.length > 0 && (
        <Card flush>
          <ul aria-label={t("upload.list")}>{going.map((one) => <Going key={one.id} upload={one} />)}</ul>
        </Card>
      )}
    </>
  );
}

function Failed({ upload: { id, name, file, error } }: { upload: Upload }) {
  const t = useDatasetWords();
  const shared = useT();
  const note = error?.code === "lost" ? { ...error, message: "" } : { message: t("upload.failed", { name }), hint: [error?.message, error?.hint].filter(Boolean).join("\n") };
  return (
    <div className="flex flex-col gap-2">
      <ErrorNote error={note} />
      <div className="flex flex-wrap gap-2">
        {file && <Button icon={RotateCcw} onClick={() => sendAgain(id)}>{shared("retry")}</Button>}
        <Button kind="quiet" onClick={() => dismiss(id)}>{t("upload.dismiss")}</Button>
      </div>
    </div>
  );
}

function Going({ upload: { id, name, file, phase, sent } }: { upload: Upload }) {
  const t = useDatasetWords();
  const total = file?.size ?? 0;
  const said = {
    waiting: t("upload.waiting"), reading: t("upload.reading"), failed: "",
    sending: t("upload.sending", { sent: formatBytes(Math.min(sent, total)), total: formatBytes(total) }),
  }[phase];
  return (
    <li className="flex flex-col gap-2 border-b border-line px-4 py-2.5 last:border-0">
      <div className="flex items-center gap-3">
        <FileUp size={18} aria-hidden className="shrink-0 text-muted" />
        <span className="min-w-0 flex-1">
          <span className="block truncate font-medium" title={name}>{name}</span>
          <span className="block text-xs text-muted tabular-nums">{said}</span>
        </span>
        {phase === "sending" && <span className="shrink-0 tabular-nums">{formatNumber(total ? Math.min(100, (sent / total) * 100) : 0)} %</span>}
        <IconButton label={t("upload.cancel", { name })} icon={X} onClick={() => dismiss(id)} />
      </div>
      {phase !== "waiting" && <Progress label={name} done={sent} total={phase === "sending" ? Math.max(1, total) : null} />}
    </li>
  );
}

/** The base that was chosen: whether it fits, and its installation where it is not here yet. */
import { useMutation } from "@tanstack/react-query";
import { Box, Download } from "lucide-react";
import { Link } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { formatBytes, formatNumber } from "~/shared/i18n";
import { type Model, models, OVER, type Task } from "../api";
import { learn } from "../live";
import { Bar } from "../parts/TaskRow";
import { noteOf } from "../problems";
import { useStudioWords } from "../words";
import { FitBadge } from "./FitBadge";
import { fitOf } from "./fits";
import { useCheck, useTasks } from "./hooks";
import { LINK } from "./Step";
import { useTrainWords } from "./words";

/** `model` is undefined where it is not installed, and before that is known. */
export function ChosenModel({ id, model, isKnown }: { id: string; model: Model | undefined; isKnown: boolean }) {
  const t = useTrainWords();
  const check = useCheck(id);
  const free = check.data ? fitOf(check.data).free : null;
  return (
    <>
      <div className="flex items-start gap-3 rounded-md border border-line bg-page px-3 py-2">
        <Box size={18} aria-hidden className="mt-0.5 shrink-0 text-muted" />
        <div className="min-w-0 flex-1">
          <div className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1">
            <p className="min-w-0 font-medium break-words">{id}</p>
            <FitBadge query={check} />
          </div>
          <p className="flex flex-wrap items-center gap-x-4 text-muted">
            {model && <span>{[model.family, formatBytes(model.num_bytes)].filter(Boolean).join(" · ")}</span>}
            {free !== null && <span className="tabular-nums">{t("fits.free", { free: formatBytes(free) })}</span>}
            <Link href={`/models/check?model=${encodeURIComponent(id)}`} className={LINK}>{t("model.report")}</Link>
          </p>
        </div>
      </div>
      {check.error && !check.isFetching && <ErrorNote error={asErrorBody(check.error)} onRetry={() => void check.refetch()} />}
      {isKnown && !model && <Install id={id} disk={check.data?.disk} />}
    </>
  );
}

function Install({ id, disk }: { id: string; disk?: { total: number; free: number } }) {
  const t = useTrainWords();
  const listed = useTasks({ kind: "install", limit: 50 });
  const start = useMutation({ mutationFn: () => models.install(id), onSuccess: learn });
  const before = (listed.data?.items ?? []).filter(({ base_model }) => base_model === id);
  // The list, which is live and has the newest first, does not have at once what has just been begun.
  const task = start.data && !before.some((one) => one.id === start.data.id) ? start.data : before[0];
  if (task && !OVER.has(task.status)) return <Installing task={task} />;
  return (
    <div className="flex flex-col gap-2">
      {start.error && <ErrorNote error={asErrorBody(start.error)} />}
      {task?.error && !start.isPending && <ErrorNote error={noteOf(task.error)} />}
      <div className="flex flex-wrap items-center gap-3">
        <Button icon={Download} disabled={start.isPending} onClick={() => start.mutate()}>{t(task?.error ? "model.installAgain" : "model.install")}</Button>
        <span className="min-w-0 flex-1 basis-56 text-pretty text-muted">
          {t("model.notInstalled")} {disk && t("model.toDownload", { size: formatBytes(disk.total), free: formatBytes(disk.free) })}
        </span>
      </div>
    </div>
  );
}

function Installing({ task }: { task: Task }) {
  const t = useTrainWords();
  const studio = useStudioWords();
  return (
    <div role="status" className="rounded-md border border-line px-3 py-2">
      <div className="flex items-center justify-between gap-3">
        <span className="min-w-0 truncate">{t(task.status === "pending" ? "model.installWaits" : "model.installing")}</span>
        <span className="text-muted tabular-nums">{formatNumber(task.progress)} %</span>
      </div>
      <Bar task={task} className="mt-2" />
      <p className="mt-1.5 flex justify-between gap-3 text-xs text-muted">
        <span className="min-w-0 truncate" title={task.message}>{task.message}</span>
        <Link href={`/tasks/${task.id}`} className={`shrink-0 ${LINK}`}>{studio("open")}</Link>
      </p>
    </div>
  );
}

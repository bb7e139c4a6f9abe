/** A task in one glance: what it is, how far it is, what it takes. */
import { Link } from "wouter";
import { formatAgo, formatBytes, formatDuration, formatMoment, formatNumber } from "~/shared/i18n";
import { OVER, type Task } from "../api";
import { useStudioWords } from "../words";
import { StatusBadge } from "./Badge";
import { Spark } from "./Spark";

const numberOf = (values: Record<string, unknown>, name: string): number | undefined => {
  const value = values[name];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
};
export const predicted = (task: Task, name: string): number | undefined => numberOf(task.predicted, name);
export const measured = (task: Task, name: string): number | undefined => numberOf(task.measured, name);

export function Bar({ task, className = "" }: { task: Task; className?: string }) {
  const isMoving = task.status === "running";
  const tone = { completed: "bg-ok", failed: "bg-bad", stopped: "bg-warn", interrupted: "bg-warn", running: "bg-accent", pending: "bg-line-strong" }[task.status];
  return (
    <div
      role="progressbar"
      aria-label={task.task_name}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={task.progress}
      className={`h-1.5 w-full overflow-hidden rounded-full bg-raised ${isMoving && !task.progress ? "skeleton" : ""} ${className}`}
    >
      <div className={`h-full rounded-full transition-[width] duration-200 ${tone}`} style={{ width: `${task.progress}%` }} />
    </div>
  );
}

/** Step, epoch, loss, time left, memory: those that are known, in one line. */
export function useTaskFacts(task: Task): string[] {
  const t = useStudioWords();
  const facts: string[] = [];
  const step = measured(task, "step");
  const steps = predicted(task, "steps");
  if (!OVER.has(task.status)) {
    if (step !== undefined && steps) facts.push(t("step", { done: formatNumber(step), total: formatNumber(steps) }));
    if (task.current_epoch !== null) facts.push(t("epoch", { n: formatNumber(task.current_epoch, 2) }));
    const left = measured(task, "seconds_left");
    if (left !== undefined) facts.push(t("left", { time: formatDuration(left) }));
  }
  const used = measured(task, "memory_bytes") ?? measured(task, "peak_bytes");
  const planned = predicted(task, "peak_bytes");
  if (used && planned) facts.push(t("memory.planned", { used: formatBytes(used), planned: formatBytes(planned) }));
  return facts;
}

export function TaskRow({ task, losses = [] }: { task: Task; losses?: readonly number[] }) {
  const t = useStudioWords();
  const facts = useTaskFacts(task);
  const isOver = OVER.has(task.status);
  const said = isOver ? (task.error?.what ?? task.message) : facts.length ? "" : task.message;
  return (
    <Link
      href={`/tasks/${task.id}`}
      className="block border-b border-line px-4 py-3 transition-colors last:border-0 hover:bg-raised focus-visible:bg-raised"
    >
      <div className="flex items-center gap-3">
        <span className="min-w-0 flex-1">
          <span className="block truncate font-medium" title={task.task_name}>{task.task_name}</span>
          <span className="block truncate text-xs text-muted">{t(`kind.${task.kind}`)} · {task.base_model}</span>
        </span>
        <Spark values={losses} label={t("kind.train")} />
        {isOver || task.status === "pending" ? <StatusBadge status={task.status} /> : <span className="font-medium tabular-nums">{formatNumber(task.progress)} %</span>}
      </div>
      {!isOver && <Bar task={task} className="mt-2" />}
      {(facts.length > 0 || said || isOver) && (
        <p className="mt-1.5 flex justify-between gap-3 text-xs text-muted">
          <span className={`min-w-0 truncate ${task.error ? "text-bad" : ""}`} title={said || facts.join(" · ")}>{said || facts.join(" · ")}</span>
          {isOver && task.completed_at && <time dateTime={task.completed_at} title={formatMoment(task.completed_at)} className="shrink-0">{formatAgo(task.completed_at)}</time>}
        </p>
      )}
    </Link>
  );
}

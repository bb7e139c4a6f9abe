/** A task that is over: what came of it, or why nothing did. */
import { Link } from "wouter";
import { formatAgo, formatDuration, formatMoment, formatNumber } from "~/shared/i18n";
import type { Task } from "../api";
import { StatusBadge } from "../parts/Badge";
import { measured } from "../parts/TaskRow";
import { useStudioWords } from "../words";
import { formatLoss } from "./params";
import { useTrainWords } from "./words";

interface Compared {
  base?: { exact_match?: number };
  tuned?: { exact_match?: number };
  kinds?: Record<string, string>;
}

/** How many answers more are exactly right than the untouched base's, in points of a hundred. */
function gained(task: Task): string | undefined {
  const { base, tuned, kinds } = (task.measured.comparison ?? {}) as Compared;
  if (kinds) return undefined; // its answers are measured by the family's own metrics
  if (base?.exact_match === undefined || tuned?.exact_match === undefined) return undefined;
  const points = (tuned.exact_match - base.exact_match) * 100;
  return `${points < 0 ? "−" : "+"}${formatNumber(Math.abs(points))}`;
}

function useResults(task: Task): string[] {
  const t = useTrainWords();
  if (task.error) return [task.error.what];
  const [loss, seconds, points] = [measured(task, "best_val_loss"), measured(task, "seconds"), gained(task)];
  const results = [
    points !== undefined ? t("over.exact", { points }) : "",
    loss !== undefined ? t("over.best", { loss: formatLoss(loss) }) : "",
    seconds !== undefined ? formatDuration(seconds) : "",
  ].filter(Boolean);
  return results.length ? results : [task.message].filter(Boolean);
}

export function OverRow({ task }: { task: Task }) {
  const studio = useStudioWords();
  const results = useResults(task);
  return (
    <Link href={`/tasks/${task.id}`} className="block border-b border-line px-4 py-3 transition-colors last:border-0 hover:bg-raised focus-visible:bg-raised focus-visible:outline-offset-[-2px]">
      <span className="flex items-start gap-3">
        <span className="min-w-0 flex-1">
          <span className="block truncate font-medium" title={task.task_name}>{task.task_name}</span>
          <span className="block truncate text-xs text-muted" title={task.base_model}>{studio(`kind.${task.kind}`)} · {task.base_model}</span>
        </span>
        <StatusBadge status={task.status} />
      </span>
      <span className="mt-1.5 flex justify-between gap-3 text-xs text-muted tabular-nums">
        <span className={`min-w-0 ${task.error ? "line-clamp-2 text-bad" : "truncate"}`} title={results.join(" · ")}>{results.join(" · ")}</span>
        {task.completed_at && <time dateTime={task.completed_at} title={formatMoment(task.completed_at)} className="shrink-0">{formatAgo(task.completed_at)}</time>}
      </span>
    </Link>
  );
}

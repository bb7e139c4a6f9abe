/** A task that runs: how far it is, how its loss goes, what it takes. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { formatNumber } from "~/shared/i18n";
import { type Task, tasks } from "../api";
import { POLL_MS } from "../live";
import { Spark } from "../parts/Spark";
import { Bar, measured, useTaskFacts } from "../parts/TaskRow";
import { useStudioWords } from "../words";
import { formatLoss } from "./params";
import { useTrainWords } from "./words";

/** The curve so far. Each task with a stream of its own would use up the few connections that a browser has for a server. */
function useLosses(task: Task): number[] {
  const { data } = useQuery({ queryKey: ["metrics", task.id], queryFn: () => tasks.metrics(task.id), refetchInterval: POLL_MS, enabled: task.kind === "train" });
  const points = data?.series["loss/train"] ?? [];
  const [step, loss] = [measured(task, "step"), measured(task, "loss")];
  const isNew = step !== undefined && loss !== undefined && step > (points.at(-1)?.[0] ?? -1);
  return [...points.map(([, value]) => value), ...(isNew ? [loss] : [])];
}

export function RunningTask({ task }: { task: Task }) {
  const t = useTrainWords();
  const studio = useStudioWords();
  const facts = useTaskFacts(task);
  const losses = useLosses(task);
  const loss = measured(task, "loss");
  const held = measured(task, "val_loss");
  return (
    <li className="border-b border-line last:border-0">
      <Link href={`/tasks/${task.id}`} className="block px-4 py-3 transition-colors hover:bg-raised focus-visible:bg-raised focus-visible:outline-offset-[-2px]">
        <div className="flex items-start gap-3">
          <span className="min-w-0 flex-1">
            <span className="block truncate font-medium" title={task.task_name}>{task.task_name}</span>
            <span className="block truncate text-xs text-muted" title={task.base_model}>{studio(`kind.${task.kind}`)} · {task.base_model}</span>
          </span>
          <span className="text-base font-semibold tabular-nums">{formatNumber(task.progress, task.progress > 0 && task.progress < 10 ? 1 : 0)} %</span>
        </div>
        <Bar task={task} className="mt-2 h-2!" />
        <p className="mt-2 flex flex-wrap gap-x-3 gap-y-0.5 text-xs text-muted tabular-nums">
          {facts.length ? facts.map((fact) => <span key={fact}>{fact}</span>) : <span className="break-words">{task.message || studio("status.running")}</span>}
        </p>
        {loss !== undefined && (
          <div className="mt-2 flex items-center gap-3 text-xs tabular-nums">
            <Spark values={losses} label={t("running.curve", { name: task.task_name })} />
            <span>{t("running.loss", { loss: formatLoss(loss) })}</span>
            {held !== undefined && <span className="text-muted">{t("running.val", { loss: formatLoss(held) })}</span>}
          </div>
        )}
      </Link>
    </li>
  );
}

/** The right column: what runs, what waits, what is over. */
import type { Ref } from "react";
import { asErrorBody } from "~/shared/api/http";
import { ErrorNote } from "~/shared/components/states";
import { formatNumber } from "~/shared/i18n";
import type { Status, Task } from "../api";
import { Card, Skeletons } from "../parts/layout";
import { Badge } from "../parts/Badge";
import { TaskRow } from "../parts/TaskRow";
import { useTasks } from "./hooks";
import { RunningTask } from "./RunningTask";
import { useTrainWords } from "./words";

const MOST_UNDER_WAY = 100;

/** Servers run until they are stopped: they have a page of their own. A list can be a moment behind its tasks. */
export const those = (tasks: readonly Task[], states: readonly Status[]): Task[] => tasks.filter(({ kind, status }) => kind !== "serve" && states.includes(status));

export function UnderWay({ ref }: { ref: Ref<HTMLDivElement> }) {
  const t = useTrainWords();
  const query = useTasks({ status: "running,pending", limit: MOST_UNDER_WAY });
  const all = query.data?.items ?? [];
  const running = those(all, ["running"]);
  const waiting = those(all, ["pending"]).sort((a, b) => b.priority - a.priority || a.id - b.id);
  return (
    <div ref={ref} tabIndex={-1} className="flex scroll-mt-4 flex-col gap-5 focus:outline-none">
      <Card flush title={t("running")} aside={running.length > 1 && <Badge>{formatNumber(running.length)}</Badge>}>
        {query.data ? running.length ? <ul className="pt-1">{running.map((task) => <RunningTask key={task.id} task={task} />)}</ul>
          : <p className="px-4 pt-1 pb-4 text-pretty text-muted">{t("running.none")}</p>
          : <div className="px-4 pt-1 pb-4">{query.error ? <ErrorNote error={asErrorBody(query.error)} onRetry={() => void query.refetch()} /> : <Skeletons rows={1} className="h-24" />}</div>}
      </Card>
      {waiting.length > 0 && (
        <Card flush title={t("waiting")} aside={<Badge>{formatNumber(waiting.length)}</Badge>}>
          <div className="pt-1">{waiting.map((task) => <TaskRow key={task.id} task={task} />)}</div>
        </Card>
      )}
    </div>
  );
}

/** Installations under way; with none there is nothing to say. */
import { OVER } from "../api";
import { Card } from "../parts/layout";
import { TaskRow } from "../parts/TaskRow";
import { useTasks } from "../train/hooks";
import { useModelsWords } from "./words";

export function Installs() {
  const t = useModelsWords();
  const { data } = useTasks({ kind: "install", limit: 50 });
  const underWay = (data?.items ?? []).filter(({ status }) => !OVER.has(status));
  if (!underWay.length) return null;
  return (
    <Card title={t("installing")} flush>
      {underWay.map((task) => <TaskRow key={task.id} task={task} />)}
    </Card>
  );
}

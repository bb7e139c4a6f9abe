/** How to do the same from a terminal, or from Python. */
import { useQuery } from "@tanstack/react-query";
import { CodeBlock } from "~/shared/components/CodeBlock";
import { type Task, tasks } from "../api";
import { Card } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { useTaskWords } from "./words";

export function Reproduce({ task }: { task: Task }) {
  const t = useTaskWords();
  const query = useQuery({ queryKey: ["command", task.id], queryFn: () => tasks.command(task.id) });
  return (
    <Loaded query={query}>
      {({ shell, python }) => (
        <div className="grid gap-4 lg:grid-cols-2">
          <Card title={t("shell")}><CodeBlock code={shell} language="bash" /></Card>
          <Card title={t("python")}><CodeBlock code={python} language="python" /></Card>
        </div>
      )}
    </Loaded>
  );
}

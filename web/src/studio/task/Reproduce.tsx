/** How to do the same from a terminal, or from Python. */
import { useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { CodeBlock } from "~/shared/components/CodeBlock";
import { type Task, tasks } from "../api";
import { Card } from "../parts/layout";
import { BUTTON_LINK } from "../parts/links";
import { Loaded } from "../parts/Loaded";
import { useResults } from "./results";
import { useTaskWords } from "./words";

export function Reproduce({ task }: { task: Task }) {
  const t = useTaskWords();
  const query = useQuery({ queryKey: ["command", task.id], queryFn: () => tasks.command(task.id) });
  const { manifest } = useResults(task);
  return (
    <Loaded query={query}>
      {({ shell, python }) => (
        <div className="grid gap-4 lg:grid-cols-2">
          <Card title={t("shell")}><CodeBlock code={shell} language="bash" /></Card>
          <Card title={t("python")}><CodeBlock code={python} language="python" /></Card>
          {manifest && (
            <Card title={t("manifest")} aside={<a href={tasks.manifestPath(task.id)} className={BUTTON_LINK} download><Download size={16} aria-hidden />manifest.json</a>}>
              <p className="text-pretty text-muted">{t("manifest.text")}</p>
            </Card>
          )}
        </div>
      )}
    </Loaded>
  );
}

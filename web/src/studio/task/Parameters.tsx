/** What was asked for. */
import type { Task } from "../api";
import { Card, Facts } from "../parts/layout";
import { useTaskWords } from "./words";

const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

export function Parameters({ task }: { task: Task }) {
  const t = useTaskWords();
  const given = Object.entries(task.training_params).filter(([name, value]) => !["model", "data"].includes(name) && value !== null && value !== "");
  return (
    <Card>
      <p className="mb-3 text-muted">{given.length ? t("param.given") : t("param.none")}</p>
      <Facts facts={given.map(([name, value]) => [name, <code className="font-mono text-xs break-all">{shown(value)}</code>])} />
    </Card>
  );
}

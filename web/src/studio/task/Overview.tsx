/** What a task has come to, and what was decided on the way. */
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { formatAgo, formatBytes, formatDuration, formatMoment, formatNumber } from "~/shared/i18n";
import { datasets, type Metrics, type Task } from "../api";
import { Card, Facts } from "../parts/layout";
import { measured, predicted } from "../parts/TaskRow";
import { Compared, exportOf, Written } from "./Exported";
import { useTaskWords } from "./words";

const LINK = "text-accent-ink underline underline-offset-2";

interface Comparison {
  base?: Record<string, number>;
  tuned?: Record<string, number>;
  /** What the family's metrics are called. */
  kinds?: Record<string, string>;
}

export function Overview({ task }: { task: Task }) {
  const t = useTaskWords();
  const { data: dataset } = useQuery({
    queryKey: ["dataset", task.dataset], queryFn: () => datasets.one(task.dataset!), enabled: task.dataset !== null, retry: false,
  });
  const { data: metrics } = useQuery<Metrics>({ queryKey: ["metrics", task.id], enabled: false });
  const facts: [string, ReactNode][] = [[t("fact.base"), task.base_model]];
  if (task.dataset !== null) {
    facts.push([t("fact.dataset"), dataset ? <Link className={LINK} href={`/datasets/${dataset.id}`}>{dataset.name} · {dataset.version}</Link> : `#${task.dataset}`]);
  }
  if (task.started_at) facts.push([t("fact.started"), <time dateTime={task.started_at} title={formatMoment(task.started_at)}>{formatAgo(task.started_at)}</time>]);
  if (task.started_at && task.completed_at) {
    facts.push([t("fact.took"), formatDuration((Date.parse(task.completed_at) - Date.parse(task.started_at)) / 1000)]);
  }
  const steps = measured(task, "steps") ?? predicted(task, "steps");
  if (steps !== undefined) facts.push([t("fact.steps"), formatNumber(steps)]);
  const [planned, peak] = [predicted(task, "peak_bytes"), measured(task, "peak_bytes") ?? measured(task, "memory_bytes")];
  if (planned) facts.push([t("fact.memory"), `${formatBytes(planned)} · ${peak ? formatBytes(peak) : "–"}`]);
  const comparison = task.measured.comparison as Comparison | null | undefined;
  const numbers: [string, number | undefined, boolean][] = [
    [t("fact.trainLoss"), measured(task, "train_loss"), false],
    [t("fact.valLoss"), measured(task, "val_loss"), false],
    [t("fact.best"), measured(task, "best_val_loss"), false],
  ];
  if (comparison?.kinds) { // by the family's own metrics
    for (const [key, title] of Object.entries(comparison.kinds)) {
      numbers.push([`${title}, ${t("before")}`, comparison.base?.[key], true], [`${title}, ${t("after")}`, comparison.tuned?.[key], true]);
    }
  } else {
    numbers.push([t("fact.base.exact"), comparison?.base?.exact_match, true], [t("fact.tuned.exact"), comparison?.tuned?.exact_match, true]);
  }
  for (const [name, value, isShare] of numbers) {
    if (typeof value === "number") facts.push([name, isShare ? `${formatNumber(value * 100, 1)} %` : formatNumber(value, 4)]);
  }
  if (typeof task.measured.stop_reason === "string") facts.push([t("fact.stop"), task.measured.stop_reason.replaceAll("_", " ")]);
  if (typeof task.predicted.url === "string") facts.push([t("fact.address"), <code className="font-mono text-xs">{task.predicted.url}</code>]);
  if (task.parent) facts.push([t("fact.parent"), <Link className={LINK} href={`/tasks/${task.parent}`}>#{task.parent}</Link>]);
  if (task.output_path) facts.push([t("fact.output"), <code className="font-mono text-xs break-all">{task.output_path}</code>]);
  const decisions = metrics?.decisions.filter(({ name }) => name !== "continue") ?? [];
  const exported = exportOf(task);
  return (
    <div className={`grid gap-4 ${task.kind === "train" || exported ? "lg:grid-cols-2" : ""}`}>
      {exported && <Compared result={exported} />}
      <Card><Facts facts={facts} />{exported && <Written result={exported} />}</Card>
      {task.kind === "train" && (
        <Card title={t("decisions")}>
          {decisions.length ? (
            <ol className="flex flex-col gap-3">
              {decisions.map(({ step, name, reason }, index) => (
                <li key={index} className="border-l-2 border-line pl-3">
                  <p className="font-medium">{name.replaceAll("_", " ")} <span className="font-normal text-muted tabular-nums">· {t("at.step", { n: formatNumber(step) })}</span></p>
                  <p className="text-pretty text-muted">{reason}</p>
                </li>
              ))}
            </ol>
          ) : <p className="text-muted">{t("noDecisions")}</p>}
        </Card>
      )}
    </div>
  );
}

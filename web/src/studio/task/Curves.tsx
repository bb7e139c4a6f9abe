/** A training's curves: the loss large, what explains it small beneath. */
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { formatBytes, formatNumber } from "~/shared/i18n";
import { type Metrics, OVER, type Task, tasks } from "../api";
import { followTask, queries } from "../live";
import { Chart, type Flag } from "../parts/Chart";
import { Card } from "../parts/layout";
import { predicted } from "../parts/TaskRow";
import { useTaskWords } from "./words";

const short = (value: number): string => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : formatNumber(value, Math.abs(value) < 10 ? 3 : 1));
const whole = (value: number): string => formatNumber(Math.round(value));

/** The task's curves, followed while it runs. */
export function useMetrics(task: Task): Metrics | undefined {
  const isOver = OVER.has(task.status);
  const { data, isSuccess } = useQuery({ queryKey: ["metrics", task.id], queryFn: () => tasks.metrics(task.id), staleTime: Infinity });
  useEffect(() => {
    if (isOver || !isSuccess) return;
    return followTask(task.id, queries.getQueryData<Metrics>(["metrics", task.id])?.next ?? 0);
  }, [task.id, isOver, isSuccess]);
  return data;
}

export function Curves({ task }: { task: Task }) {
  const t = useTaskWords();
  const metrics = useMetrics(task);
  if (!metrics) return <div className="skeleton h-80" />;
  const { series, decisions } = metrics;
  const train = series["loss/train"] ?? [];
  const validation = series["loss/validation"] ?? [];
  if (!train.length) {
    return <Card title={t("loss")}><p className="py-8 text-center text-muted">{t("noCurve")}</p></Card>;
  }
  const best = validation.reduce<readonly [number, number] | null>((found, point) => (!found || point[1] < found[1] ? point : found), null);
  const flags: Flag[] = decisions.filter(({ name }) => name !== "continue").map(({ step, name }) => ({ at: step, label: name.replaceAll("_", " ") }));
  if (best) flags.push({ at: best[0], label: `${t("best")} ${short(best[1])}` });
  const planned = predicted(task, "peak_bytes");
  const small: [string, string, (value: number) => string][] = [
    ["learning_rate", t("rate"), (value) => value.toExponential(1)],
    ["overfitting_score", t("gap"), short],
    ["gradient_norm", t("gradient"), short],
    ["tokens_per_second", t("tokens"), whole],
    ["memory_bytes", t("memory"), formatBytes],
  ];
  return (
    <>
      <Card title={t("loss")}>
        <Chart
          label={t("loss")}
          curves={[
            { label: t("loss.train"), points: train, tone: "accent" },
            ...(validation.length ? [{ label: t("loss.val"), points: validation, tone: "warn" as const, dashed: true }] : []),
          ]}
          flags={flags}
          format={short}
          formatAt={whole}
        />
      </Card>
      <div className="grid grid-cols-2 gap-3 lg:grid-cols-3 xl:grid-cols-5">
        {small.filter(([name]) => (series[name]?.length ?? 0) > 1).map(([name, label, format]) => (
          <Card key={name}>
            <Chart
              small
              label={label}
              height={110}
              curves={[{ label, points: series[name]!, tone: "accent" }]}
              limit={name === "memory_bytes" && planned ? { value: planned, label: `${t("planned")} ${formatBytes(planned)}` } : undefined}
              format={format}
              formatAt={whole}
            />
          </Card>
        ))}
      </div>
    </>
  );
}

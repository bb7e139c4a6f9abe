/** One search: the best so far, every trial, what mattered. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { FileText, Hammer, ListTodo, Pause, Play } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { Button } from "~/shared/components/Button";
import { Bars } from "~/shared/components/Bars";
import { ErrorNote } from "~/shared/components/states";
import { formatNumber } from "~/shared/i18n";
import { OVER, type Task, tasks, type Trials } from "../api";
import { learn } from "../live";
import { StatusBadge } from "../parts/Badge";
import { Chart } from "../parts/Chart";
import { Card } from "../parts/layout";
import { BUTTON_LINK, MAIN_LINK } from "../parts/links";
import { Loaded } from "../parts/Loaded";
import { Bar } from "../parts/TaskRow";
import { noteOf, toastError } from "../problems";
import { useResults } from "../task/results";
import { useStudioWords } from "../words";
import { Parallel } from "./Parallel";
import { TrialTable } from "./TrialTable";
import { formatParam, lastLoss } from "./trials";
import { useTuneWords } from "./words";

const ASK_MS = 2000;

export function SearchView({ task }: { task: Task }) {
  const t = useTuneWords();
  const common = useStudioWords();
  const isOver = OVER.has(task.status);
  const { report } = useResults(task);
  const query = useQuery({ queryKey: ["trials", task.id, isOver], queryFn: () => tasks.trials(task.id), refetchInterval: isOver ? false : ASK_MS, placeholderData: (before) => before });
  const stop = useMutation({ mutationFn: () => tasks.stop(task.id), onSuccess: learn, onError: toastError });
  const resume = useMutation({ mutationFn: () => tasks.resume(task.id), onSuccess: learn, onError: toastError });
  return (
    <div className="flex min-w-0 flex-col gap-4">
      <Card
        title={task.task_name}
        aside={
          <div className="flex flex-wrap items-center gap-2">
            <StatusBadge status={task.status} />
            {!isOver && <Button icon={Pause} disabled={stop.isPending} onClick={() => stop.mutate()}>{t("stop")}</Button>}
            {isOver && task.status !== "completed" && <Button icon={Play} disabled={resume.isPending} onClick={() => resume.mutate()}>{common("resume")}</Button>}
            {report && <a className={BUTTON_LINK} href={tasks.reportPath(task.id)} target="_blank" rel="noreferrer"><FileText size={16} aria-hidden />{t("report")}</a>}
            <Link className={BUTTON_LINK} href={`/tasks/${task.id}`}><ListTodo size={16} aria-hidden />{t("task")}</Link>
          </div>
        }
      >
        {task.error && <ErrorNote error={noteOf(task.error)} />}
        {!isOver && <><Bar task={task} /><p className="mt-2 text-muted">{task.message}</p></>}
        <Loaded query={query} loading={<div className="skeleton h-24" />}>{(found) => <Best task={task} found={found} />}</Loaded>
      </Card>
      {query.data && query.data.trials.length > 0 && <Trialled found={query.data} />}
    </div>
  );
}

function Best({ task, found }: { task: Task; found: Trials }) {
  const t = useTuneWords();
  const best = found.trials.find(({ number }) => number === found.best);
  if (!best) return <p className="mt-2 text-muted">{t("waiting")}</p>;
  const value = best.value ?? lastLoss(best);
  return (
    <div className="mt-3 flex flex-col gap-3">
      {found.verdict && <p className="text-base font-medium text-pretty">{found.verdict}</p>}
      <p>
        <span className="text-muted">{t("best")}: </span>
        <span className="font-medium">{best.is_automatic ? t("best.automatic") : t("trial", { n: best.number })}</span>
        {value !== undefined && <span className="text-muted tabular-nums"> · {found.figure} {formatNumber(value, 4)}</span>}
      </p>
      <dl className="flex flex-wrap gap-2">
        {Object.entries(found.best_params).map(([name, one]) => (
          <div key={name} className="rounded-md bg-raised px-2.5 py-1"><dt className="inline text-xs text-muted">{name} </dt><dd className="inline font-medium tabular-nums">{formatParam(one)}</dd></div>
        ))}
      </dl>
      {Object.keys(found.best_options).length > 0 && (
        <Link href={`/train?clone=${task.id}`} className={`${MAIN_LINK} self-start`}><Hammer size={16} aria-hidden />{t("use")}</Link>
      )}
    </div>
  );
}

function Trialled({ found }: { found: Trials }) {
  const t = useTuneWords();
  const [marked, setMarked] = useState<number | null>(null);
  const known = found.trials.filter((one) => lastLoss(one) !== undefined);
  let least = Infinity;
  const bestLine = known.map((one): [number, number] => [one.number, (least = Math.min(least, lastLoss(one)!))]);
  return (
    <>
      <div className="grid gap-4 xl:grid-cols-2">
        <Card title={t("history")}>
          {known.length > 1
            ? <Chart label={t("history")} height={200} curves={[{ label: t("bestLine"), points: bestLine, tone: "accent" }, { label: t("loss"), points: known.map((one): [number, number] => [one.number, lastLoss(one)!]), tone: "muted", dashed: true }]} format={(value) => formatNumber(value, 3)} formatAt={(at) => formatNumber(at)} />
            : <p className="py-6 text-muted">{t("waiting")}</p>}
        </Card>
        <Card title={t("importance")}>
          {Object.keys(found.importances).length
            ? <Bars labels={Object.entries(found.importances).sort(([, a], [, b]) => b - a).map(([label, score]) => ({ label, score }))} />
            : <p className="py-6 text-muted">{t("importance.few")}</p>}
        </Card>
      </div>
      {known.length > 1 && <Card title={t("parallel")}><Parallel trials={known} best={found.best} marked={marked} onMark={setMarked} /></Card>}
      <Card flush title={t("trials")}><TrialTable found={found} marked={marked} onMark={setMarked} /></Card>
    </>
  );
}


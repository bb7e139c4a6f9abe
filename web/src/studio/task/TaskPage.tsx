/** One task: how it is, what it has come to, what can be done with it. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Copy, Download, FileText, Hammer, PackageOpen, Pause, Play, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import { Button } from "~/shared/components/Button";
import { Dialog } from "~/shared/components/Dialog";
import { ErrorNote } from "~/shared/components/states";
import { Tabs } from "~/shared/components/Tabs";
import { useT } from "~/shared/i18n";
import { ExportDialog } from "../adapters/ExportDialog";
import { useAdapterWords } from "../adapters/words";
import { OVER, type Task, tasks } from "../api";
import { learn, poll, queries } from "../live";
import { StatusBadge } from "../parts/Badge";
import { Page, PageHead, Skeletons } from "../parts/layout";
import { BUTTON_LINK } from "../parts/links";
import { Loaded } from "../parts/Loaded";
import { Bar, useTaskFacts } from "../parts/TaskRow";
import { noteOf, toastError } from "../problems";
import { useTuneWords } from "../tune/words";
import { useStudioWords } from "../words";
import { Answers } from "./Answers";
import { Curves } from "./Curves";
import { Log } from "./Log";
import { Overview } from "./Overview";
import { Parameters } from "./Parameters";
import { Reproduce } from "./Reproduce";
import { useResults } from "./results";
import { TryIt } from "./TryIt";
import { useTaskWords } from "./words";

export function TaskPage({ id }: { id: number }) {
  const query = useQuery({ queryKey: ["task", id], queryFn: () => tasks.one(id), refetchInterval: poll });
  return (
    <Page>
      <Loaded query={query} loading={<Skeletons rows={4} className="h-24" />}>{(task) => <Shown task={task} />}</Loaded>
    </Page>
  );
}

const TABS = ["overview", "answers", "try", "parameters", "log", "reproduce"] as const;
type TabName = (typeof TABS)[number];

function Shown({ task }: { task: Task }) {
  const t = useTaskWords();
  const common = useStudioWords();
  const facts = useTaskFacts(task);
  const [params, setParams] = useSearchParams();
  const trained = task.kind === "train";
  const { adapter } = useResults(task);
  const tabs = TABS.filter((name) => (name === "answers" ? trained : name === "try" ? adapter : true));
  const chosen = tabs.find((name) => name === params.get("tab")) ?? "overview";
  const isOver = OVER.has(task.status);
  return (
    <>
      <PageHead title={task.task_name} note={<StatusBadge status={task.status} />} text={<>{common(`kind.${task.kind}`)} · {task.base_model}</>}>
        <Actions task={task} />
      </PageHead>
      {task.error && <ErrorNote error={noteOf(task.error)} />}
      {!isOver && (
        <div>
          <Bar task={task} />
          <p className="mt-2 text-muted tabular-nums">{facts.join(" · ") || (task.status === "pending" ? t("waits") : task.message)}</p>
        </div>
      )}
      {trained && <Curves task={task} />}
      <Tabs<TabName>
        label={task.task_name}
        tabs={tabs.map((name) => ({ name, title: t(name) }))}
        chosen={chosen}
        onChoose={(name) => setParams(name === "overview" ? {} : { tab: name }, { replace: true })}
      />
      {chosen === "overview" && <Overview task={task} />}
      {chosen === "answers" && <Answers task={task} />}
      {chosen === "try" && <TryIt task={task} adapter={adapter} />}
      {chosen === "parameters" && <Parameters task={task} />}
      {chosen === "log" && <Log task={task} />}
      {chosen === "reproduce" && <Reproduce task={task} />}
    </>
  );
}

function Actions({ task }: { task: Task }) {
  const t = useTaskWords();
  const common = useStudioWords();
  const say = useAdapterWords();
  const tune = useTuneWords();
  const results = useResults(task);
  const [deleting, setDeleting] = useState(false);
  const [exporting, setExporting] = useState(false);
  const stop = useMutation({ mutationFn: () => tasks.stop(task.id), onSuccess: learn, onError: toastError });
  const resume = useMutation({ mutationFn: () => tasks.resume(task.id), onSuccess: learn, onError: toastError });
  const isOver = OVER.has(task.status);
  const hasBest = task.kind === "tune" && Object.keys(task.measured.best_options ?? {}).length > 0;
  return (
    <>
      {!isOver && <Button icon={Pause} title={t("stop.hint")} disabled={stop.isPending} onClick={() => stop.mutate()}>{t("stop")}</Button>}
      {isOver && task.status !== "completed" && <Button kind="primary" icon={Play} disabled={resume.isPending} onClick={() => resume.mutate()}>{common("resume")}</Button>}
      {task.kind === "tune" && <Link href={`/tune?task=${task.id}`} className={BUTTON_LINK}>{t("tune.open")}</Link>}
      {hasBest && <Link href={`/train?clone=${task.id}`} className={BUTTON_LINK}><Hammer size={16} aria-hidden />{tune("use")}</Link>}
      {(task.kind === "train" || task.kind === "tune") && <Link href={`/${task.kind}?clone=${task.id}`} className={BUTTON_LINK}><Copy size={16} aria-hidden />{t("clone")}</Link>}
      {results.adapter && <a href={tasks.adapterPath(task.id)} className={BUTTON_LINK} download><Download size={16} aria-hidden />{t("adapter")}</a>}
      {results.adapter && <Button icon={PackageOpen} onClick={() => setExporting(true)}>{say("export")}</Button>}
      {results.report && <a href={tasks.reportPath(task.id)} target="_blank" rel="noreferrer" className={BUTTON_LINK}><FileText size={16} aria-hidden />{t("report")}</a>}
      {isOver && <Button icon={Trash2} onClick={() => setDeleting(true)}>{t("delete")}</Button>}
      {exporting && <ExportDialog base={task.base_model} adapter={results.adapter} name={task.task_name} onClose={() => setExporting(false)} />}
      {deleting && <Deleting task={task} onClose={() => setDeleting(false)} />}
    </>
  );
}

function Deleting({ task, onClose }: { task: Task; onClose: () => void }) {
  const t = useTaskWords();
  const shared = useT();
  const [, navigate] = useLocation();
  const [all, setAll] = useState(false);
  const remove = useMutation({
    mutationFn: () => tasks.delete(task.id, all),
    onSuccess: () => {
      navigate("/tasks");
      // What is asked of this very task would be asked of nothing.
      for (const queryKey of [["tasks"], ["adapters"], ["models"]]) void queries.invalidateQueries({ queryKey });
    },
    onError: toastError,
  });
  return (
    <Dialog title={t("delete.title", { name: task.task_name })} onClose={onClose}>
      <div className="flex flex-col gap-3 px-4 pb-4">
        <p className="break-words">{all ? t("delete.allText", { path: task.output_path }) : t("delete.text", { path: task.output_path || "–" })}</p>
        {task.output_path && (
          <label className="flex min-h-9 items-center gap-2">
            <input type="checkbox" className="size-4 accent-accent" checked={all} onChange={(event) => setAll(event.target.checked)} />
            {t("delete.all")}
          </label>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{shared("cancel")}</Button>
          <Button kind="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>{t("delete")}</Button>
        </div>
      </div>
    </Dialog>
  );
}


/** One task: how it is, what it has come to, what can be done with it. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Copy, Download, FileText, PackageOpen, Pause, Play, Trash2 } from "lucide-react";
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
import { Loaded } from "../parts/Loaded";
import { Bar, useTaskFacts } from "../parts/TaskRow";
import { noteOf, toastError } from "../problems";
import { useStudioWords } from "../words";
import { Answers } from "./Answers";
import { Curves } from "./Curves";
import { Log } from "./Log";
import { Overview } from "./Overview";
import { Parameters } from "./Parameters";
import { Reproduce } from "./Reproduce";
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

/** Kinds that leave a report as a page of its own. */
const REPORTED: ReadonlySet<Task["kind"]> = new Set(["train", "tune", "evaluate"]);
const TABS = ["overview", "answers", "try", "parameters", "log", "reproduce"] as const;
type TabName = (typeof TABS)[number];

function Shown({ task }: { task: Task }) {
  const t = useTaskWords();
  const common = useStudioWords();
  const facts = useTaskFacts(task);
  const [params, setParams] = useSearchParams();
  const trained = task.kind === "train";
  const canTry = trained && typeof task.measured.adapter === "string";
  const tabs = TABS.filter((name) => (name === "answers" ? trained : name === "try" ? canTry : true));
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
      {chosen === "try" && <TryIt task={task} />}
      {chosen === "parameters" && <Parameters task={task} />}
      {chosen === "log" && <Log task={task} />}
      {chosen === "reproduce" && <Reproduce task={task} />}
    </>
  );
}

const LINK = "inline-flex h-9 items-center justify-center gap-2 rounded-md border border-line bg-panel px-3 font-medium whitespace-nowrap transition-colors hover:bg-raised";

function Actions({ task }: { task: Task }) {
  const t = useTaskWords();
  const common = useStudioWords();
  const say = useAdapterWords();
  const [deleting, setDeleting] = useState(false);
  const [exporting, setExporting] = useState(false);
  const stop = useMutation({ mutationFn: () => tasks.stop(task.id), onSuccess: learn, onError: toastError });
  const resume = useMutation({ mutationFn: () => tasks.resume(task.id), onSuccess: learn, onError: toastError });
  const isOver = OVER.has(task.status);
  const hasResult = task.status === "completed" && (task.kind === "train" || task.kind === "tune");
  return (
    <>
      {!isOver && <Button icon={Pause} title={t("stop.hint")} disabled={stop.isPending} onClick={() => stop.mutate()}>{t("stop")}</Button>}
      {isOver && task.status !== "completed" && <Button kind="primary" icon={Play} disabled={resume.isPending} onClick={() => resume.mutate()}>{common("resume")}</Button>}
      {task.kind === "tune" && <Link href={`/tune?task=${task.id}`} className={LINK}>{t("tune.open")}</Link>}
      {task.kind === "train" && <Link href={`/train?clone=${task.id}`} className={LINK}><Copy size={16} aria-hidden />{t("clone")}</Link>}
      {hasResult && <a href={tasks.adapterPath(task.id)} className={LINK} download><Download size={16} aria-hidden />{t("adapter")}</a>}
      {hasResult && typeof task.measured.adapter === "string" && <Button icon={PackageOpen} onClick={() => setExporting(true)}>{say("export")}</Button>}
      {task.status === "completed" && REPORTED.has(task.kind) && <a href={tasks.reportPath(task.id)} target="_blank" rel="noreferrer" className={LINK}><FileText size={16} aria-hidden />{t("report")}</a>}
      {isOver && <Button icon={Trash2} onClick={() => setDeleting(true)}>{t("delete")}</Button>}
      {exporting && <ExportDialog base={task.base_model} adapter={String(task.measured.adapter)} name={task.task_name} onClose={() => setExporting(false)} />}
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
      void queries.invalidateQueries();
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


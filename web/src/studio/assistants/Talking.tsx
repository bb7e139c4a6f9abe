/** The window to talk in, or why there is none yet. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { ErrorNote } from "~/shared/components/states";
import { formatNumber } from "~/shared/i18n";
import { type Assistant, assistants, tasks } from "../api";
import { poll } from "../live";
import { Chat } from "../parts/Chat";
import { Card } from "../parts/layout";
import { TEXT_LINK } from "../parts/links";
import { ModelPage, talks, UNTOUCHED } from "../parts/ModelPage";
import { Bar } from "../parts/TaskRow";
import { noteOf } from "../problems";
import { useAssistantWords } from "./words";

export function Talking({ one }: { one: Assistant }) {
  const t = useAssistantWords();
  const title = t("talk");
  if (one.state === "ready" && one.serving !== null && !talks(one.family)) {
    return <Card title={title}><ModelPage serving={one.serving} family={one.family} adapter={one.adapter ? `assistant-${one.id}` : UNTOUCHED} /></Card>;
  }
  if (one.state === "ready") return <Card title={title} flush><Chat path={assistants.chatPath} model={one.name} className="h-[min(28rem,70dvh)]" /></Card>;
  return (
    <Card title={title}>
      {one.state === "starting" ? <Starting one={one} /> : (
        <>
          {one.state === "failed" && <div className="mb-3"><ErrorNote error={noteOf(one.problem ?? { what: t("failed") })} /></div>}
          <p className="max-w-prose text-pretty text-muted">
            {t(one.state === "failed" ? "failed.text" : "stopped.text")}
            {one.serving !== null && <> <Link href={`/tasks/${one.serving}`} className={TEXT_LINK}>{t("log")}</Link></>}
          </p>
        </>
      )}
    </Card>
  );
}

function Starting({ one }: { one: Assistant }) {
  const t = useAssistantWords();
  const { data: task } = useQuery({ queryKey: ["task", one.serving], queryFn: () => tasks.one(one.serving!), enabled: one.serving !== null, refetchInterval: poll });
  return (
    <div role="status" className="flex flex-col gap-2">
      <p className="flex items-center justify-between gap-3">
        <span className="font-medium">{t(task?.status === "pending" ? "starting.waits" : "starting")}</span>
        {task && task.progress > 0 && <span className="text-muted tabular-nums">{formatNumber(task.progress)} %</span>}
      </p>
      {task ? <Bar task={task} /> : <div aria-hidden className="skeleton h-1.5" />}
      <p className="flex justify-between gap-3 text-muted">
        <span className="min-w-0 truncate" title={task?.message}>{task?.message || t("starting.text")}</span>
        {one.serving !== null && <Link href={`/tasks/${one.serving}`} className={`shrink-0 ${TEXT_LINK}`}>{t("log")}</Link>}
      </p>
    </div>
  );
}

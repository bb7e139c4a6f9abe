/** The end of what the task's process has written. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { request } from "~/shared/api/http";
import { CopyButton } from "~/shared/components/CopyButton";
import { OVER, type Task, tasks } from "../api";
import { Card } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { useTaskWords } from "./words";

const FOLLOW_MS = 3000;

export function Log({ task }: { task: Task }) {
  const t = useTaskWords();
  const box = useRef<HTMLPreElement>(null);
  const query = useQuery({
    queryKey: ["log", task.id], queryFn: async () => (await request(tasks.logPath(task.id), { accept: "text/plain" })).text(),
    refetchInterval: OVER.has(task.status) ? false : FOLLOW_MS,
  });
  useEffect(() => { box.current?.scrollTo(0, box.current.scrollHeight); }, [query.data]);
  return (
    <Loaded query={query}>
      {(text) => (
        <Card flush aside={<span className="ml-auto"><CopyButton text={() => text} /></span>}>
          <pre ref={box} tabIndex={0} aria-label={t("log")} className="max-h-[32rem] overflow-auto px-4 pb-4 font-mono text-xs whitespace-pre-wrap">{text || t("log.empty")}</pre>
        </Card>
      )}
    </Loaded>
  );
}

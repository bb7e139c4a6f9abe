/** STU-1: on the left what is to be trained, on the right what is being trained and what has been. */
import { useEffect, useRef, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { ErrorNote } from "~/shared/components/states";
import { tasks } from "../api";
import { queries } from "../live";
import { Page, PageHead } from "../parts/layout";
import { draft, fillFrom, freeName } from "./draft";
import { SCHEMA } from "./hooks";
import { NewTraining } from "./NewTraining";
import { OverTasks } from "./OverTasks";
import { UnderWay } from "./TaskLists";
import { useTrainWords } from "./words";

async function clone(id: number): Promise<void> {
  const [task, schema] = await Promise.all([queries.fetchQuery({ queryKey: ["task", id], queryFn: () => tasks.one(id) }), queries.fetchQuery(SCHEMA)]);
  const { items } = await tasks.list({ search: task.task_name.replace(/-\d+$/, ""), limit: 200 });
  fillFrom(task, schema, freeName(task.task_name, new Set(items.map(({ task_name }) => task_name))));
}

/** Takes over what the address asks for, once: the address is then the page's own again, so that coming back changes nothing. */
function useAsked(): { cloning: number | null; error: Error | null; again: () => void } {
  const asked = useSearch();
  const [, go] = useLocation();
  const [state, setState] = useState<{ cloning: number | null; error: Error | null }>({ cloning: null, error: null });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const query = new URLSearchParams(asked);
    const [dataset, model, task] = [Number(query.get("dataset")), query.get("model"), Number(query.get("clone"))];
    if (dataset) draft.set({ dataset });
    if (model) draft.set({ model });
    if (!task) {
      if (asked) go("/train", { replace: true });
      return;
    }
    let isOver = false;
    setState({ cloning: task, error: null });
    clone(task).then(
      () => { if (!isOver) { setState({ cloning: null, error: null }); go("/train", { replace: true }); } },
      (error: Error) => { if (!isOver) setState({ cloning: null, error }); },
    );
    return () => { isOver = true; };
  }, [asked, attempt, go]);
  return { ...state, again: () => setAttempt(attempt + 1) };
}

export function TrainPage() {
  const t = useTrainWords();
  const underWay = useRef<HTMLDivElement>(null);
  const { cloning, error, again } = useAsked();
  const showUnderWay = (): void => {
    underWay.current?.focus({ preventScroll: true });
    underWay.current?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  };
  return (
    <Page>
      <PageHead title={t("title")} text={t("lead")} />
      {cloning !== null && <p role="status" className="skeleton px-4 py-2">{t("from.loading", { id: String(cloning) })}</p>}
      {error && <ErrorNote error={asErrorBody(error)} onRetry={again} />}
      <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-5 lg:grid-cols-[minmax(0,1fr)_minmax(0,24rem)] xl:grid-cols-[minmax(0,1fr)_minmax(0,28rem)]">
        <NewTraining onStarted={showUnderWay} />
        <div className="flex min-w-0 flex-col gap-5">
          <UnderWay ref={underWay} />
          <OverTasks />
        </div>
      </div>
    </Page>
  );
}

/** What changes by itself: tasks as the server tells of them, and whether it is there. Cut off, the page asks every five seconds. */
import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "~/shared/api/http";
import { createStore } from "~/shared/store";
import type { Metrics, Task, TaskPage } from "./api";
import { OVER, tasks } from "./api";

export const queries = new QueryClient({
  defaultOptions: { queries: { retry: (count, error) => count < 1 && error instanceof ApiError && error.isLost, staleTime: 2000, refetchOnWindowFocus: true }, mutations: { retry: 0 } },
});

export const POLL_MS = 5000;
/** Whether the stream of events stands. While it does not, queries ask again by themselves. */
export const connection = createStore<{ live: boolean; gone: boolean }>({ live: false, gone: false });
/** How often a query has to ask again: not at all while events come. */
export const poll = (): number | false => (connection.get().live ? false : POLL_MS);

type Listener = (task: Task, before: Task | undefined) => void;
const listeners = new Set<Listener>();
const known = new Map<number, Task>();

/** Called with every task that has changed; returns how to end that. */
export function onTask(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** A task as it is now, told by the server or answered by a call: every view of it follows. */
export function learn(task: Task): void {
  const before = known.get(task.id);
  known.set(task.id, task);
  queries.setQueryData(["task", task.id], task);
  let found = false;
  queries.setQueriesData<TaskPage>({ queryKey: ["tasks"] }, (page) => {
    if (!page?.items.some(({ id }) => id === task.id)) return page;
    found = true;
    return { ...page, items: page.items.map((one) => (one.id === task.id ? task : one)) };
  });
  // Filtered lists gain and lose it where it is new or has another state.
  if (!found || before?.status !== task.status) void queries.invalidateQueries({ queryKey: ["tasks"] });
  if (OVER.has(task.status) && before && !OVER.has(before.status)) {
    for (const queryKey of [["models"], ["adapters"], ["servings"], ["assistants"]]) void queries.invalidateQueries({ queryKey });
  }
  for (const listener of listeners) listener(task, before);
}

const listed = (id: number): Task | undefined => {
  for (const [, page] of queries.getQueriesData<TaskPage>({ queryKey: ["tasks"] })) {
    const found = page?.items.find((task) => task.id === id);
    if (found) return found;
  }
  return undefined;
};

/** What a stream tells: a task's number with the fields that are new. A task that nobody has asked for yet is asked for. */
function hear(event: Event): void {
  const news = JSON.parse((event as MessageEvent<string>).data) as Partial<Task> & { id: number };
  const before = known.get(news.id) ?? queries.getQueryData<Task>(["task", news.id]) ?? listed(news.id);
  if (before) known.set(news.id, before);
  if (before || "created_at" in news) learn({ ...before, ...news } as Task);
  else void queries.fetchQuery({ queryKey: ["task", news.id], queryFn: () => tasks.one(news.id) }).then(learn, () => undefined);
}

/** The stream of all tasks; a tab has one. Ends when the returned function is called. */
export function follow(): () => void {
  const source = new EventSource("/api/events");
  source.addEventListener("open", () => {
    connection.set({ live: true, gone: false });
    void queries.invalidateQueries();
  });
  source.addEventListener("task", hear);
  source.addEventListener("error", () => {
    connection.set({ live: false, gone: true });
    if (source.readyState === EventSource.CLOSED) setTimeout(restart, POLL_MS);
  });
  let end = (): void => source.close();
  const restart = (): void => {
    if (source.readyState === EventSource.CLOSED) end = follow();
  };
  return () => end();
}

interface Told {
  type: string;
  step?: number;
  values?: Record<string, number>;
  name?: string;
  reason?: string;
}

/** Follows one task's events from where its metrics (`next`) end and adds them to these; `onTold` hears each.
 *  After a cut the browser itself asks with Last-Event-ID, so that nothing is missed and nothing comes twice. */
export function followTask(id: number, after: number, onTold: (event: Told) => void = () => undefined): () => void {
  const source = new EventSource(`/api/tasks/${id}/events?after=${after}`);
  let waiting: Told[] = [];
  let frame = 0;
  const flush = (): void => {
    frame = 0;
    const told = waiting;
    waiting = [];
    queries.setQueryData<Metrics>(["metrics", id], (before) => merged(before, told));
  };
  source.addEventListener("told", (event) => {
    const told = JSON.parse((event as MessageEvent<string>).data) as Told;
    onTold(told);
    waiting.push(told);
    frame ||= requestAnimationFrame(flush);
  });
  source.addEventListener("task", hear);
  source.addEventListener("over", () => source.close());
  return () => {
    cancelAnimationFrame(frame);
    source.close();
  };
}

function merged(before: Metrics | undefined, told: Told[]): Metrics {
  const series = { ...before?.series };
  const decisions = [...(before?.decisions ?? [])];
  const copied = new Set<string>();
  for (const { type, step = 0, values = {}, name = "", reason = "" } of told) {
    if (type === "decision") decisions.push({ step, name, reason });
    if (type !== "metric") continue;
    for (const [key, value] of Object.entries(values)) {
      if (!copied.has(key)) series[key] = [...(series[key] ?? [])];
      copied.add(key);
      const points = series[key]!;
      // A run that goes on from a checkpoint takes some steps again.
      while (points.length && points[points.length - 1]![0] >= step) points.pop();
      points.push([step, value]);
    }
  }
  return { series, decisions, next: before?.next ?? 0 };
}

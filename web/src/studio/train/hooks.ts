/** What the training page asks the server for, each under the key that every page uses. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { adapters, datasets, models, type Plan, type TaskQuery, tasks, type TrainAsked, training } from "../api";
import { poll } from "../live";

const READING_MS = 2000;
/** No event tells that a large file has been read: while one is being read, the list is asked for again. */
export const useDatasets = () =>
  useQuery({
    queryKey: ["datasets"], queryFn: datasets.list,
    refetchInterval: ({ state }) => (state.data?.some(({ is_read }) => !is_read) ? READING_MS : false),
  });
export const useModels = () => useQuery({ queryKey: ["models"], queryFn: models.list });
export const useAdapters = () => useQuery({ queryKey: ["adapters"], queryFn: adapters.list });
export const SCHEMA = { queryKey: ["schema", "train"], queryFn: training.schema, staleTime: Infinity };
export const useSchema = () => useQuery(SCHEMA);

const CHECKED_MS = 5 * 60_000;
/** A check of a model on the Hub reads its files' heads there: it is asked for once in a while only. */
export const useCheck = (model: string, enabled = true) =>
  useQuery({ queryKey: ["check", model], queryFn: ({ signal }) => models.check(model, signal), enabled: enabled && model !== "", staleTime: CHECKED_MS, retry: 0 });

export const useTasks = (query: TaskQuery) =>
  useQuery({ queryKey: ["tasks", query], queryFn: ({ signal }) => tasks.list(query, signal), refetchInterval: poll, placeholderData: keepPreviousData });

/** The value once it has stood still. */
export function useSettled<T>(value: T, wait: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), wait);
    return () => clearTimeout(timer);
  }, [value, wait]);
  return settled;
}

export interface Planned {
  /** The newest plan of this dataset and model; after an edit it stays until the next one is there. */
  plan: Plan | undefined;
  error: Error | null;
  isPending: boolean;
  retry: () => void;
}

const TYPING_MS = 350;

/** The plan of what is asked for, made anew once that has stood still. */
export function usePlan(asked: Omit<TrainAsked, "task_name"> | null): Planned {
  const text = asked ? JSON.stringify(asked) : "";
  const settled = useSettled(text, TYPING_MS);
  const isCurrent = settled === text;
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ["plan", settled], enabled: settled !== "" && text !== "", staleTime: 30_000, retry: 0,
    queryFn: ({ signal }) => training.plan(JSON.parse(settled) as Omit<TrainAsked, "task_name">, signal),
  });
  const about = asked ? `${asked.dataset_id} ${asked.base_model}` : "";
  const last = useRef<{ about: string; plan: Plan } | null>(null);
  if (data && isCurrent) last.current = { about, plan: data };
  return {
    plan: last.current?.about === about ? last.current.plan : undefined,
    error: isCurrent && !isFetching ? error : null,
    isPending: text !== "" && (!isCurrent || isFetching),
    retry: () => void refetch(),
  };
}

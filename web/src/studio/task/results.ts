/** What there is to be had of a task that is over, however it ended. */
import { useQuery } from "@tanstack/react-query";
import { OVER, type Results, type Task, tasks } from "../api";

const NOTHING: Results = { adapter: "", report: false, manifest: false };

export function useResults({ id, status }: Task): Results {
  const { data = NOTHING } = useQuery({ queryKey: ["results", id, status], queryFn: () => tasks.results(id), enabled: OVER.has(status) });
  return data;
}

/** All datasets, from the newest on; asked for again while one of them is being read. */
import { useQuery } from "@tanstack/react-query";
import { datasets } from "../api";

const ASK_MS = 2000;

export const useDatasets = () =>
  useQuery({ queryKey: ["datasets"], queryFn: datasets.list, refetchInterval: ({ state }) => (state.data?.some(({ is_read }) => !is_read) ? ASK_MS : false) });

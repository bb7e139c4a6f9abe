/** What a query came to: its loading, its error with another try, or its data. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { asErrorBody } from "~/shared/api/http";
import { ErrorNote } from "~/shared/components/states";
import { Skeletons } from "./layout";

interface LoadedProps<T> {
  query: UseQueryResult<T>;
  /** In the shape of what comes. */
  loading?: ReactNode;
  children: (data: T) => ReactNode;
}

export function Loaded<T>({ query, loading = <Skeletons />, children }: LoadedProps<T>) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <ErrorNote error={asErrorBody(query.error)} onRetry={() => void query.refetch()} />;
  return <>{loading}</>;
}

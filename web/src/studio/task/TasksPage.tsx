/** All tasks, by pages, with filters. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { ListTodo, SearchX } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { useLocation } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { Empty, ErrorNote } from "~/shared/components/states";
import { formatNumber } from "~/shared/i18n";
import { tasks, type Task } from "../api";
import { poll } from "../live";
import { Card, INPUT, Page, PageHead, Skeletons } from "../parts/layout";
import { TaskRow } from "../parts/TaskRow";
import { useStudioWords } from "../words";
import { useTaskWords } from "./words";

const LIMIT = 50;
const STATES = ["running", "pending", "completed", "stopped", "interrupted", "failed"] as const;
const KINDS = ["train", "tune", "evaluate", "export", "install", "serve"] as const;

export function TasksPage() {
  const t = useTaskWords();
  const common = useStudioWords();
  const [, navigate] = useLocation();
  const [status, setStatus] = useState("");
  const [kind, setKind] = useState("");
  const [text, setText] = useState("");
  const search = useDeferredValue(text);
  const query = useInfiniteQuery({
    queryKey: ["tasks-pages", { status, kind, search }],
    queryFn: ({ pageParam, signal }) => tasks.list({ status, kind, search, before: pageParam, limit: LIMIT }, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => (page.items.length === LIMIT ? page.items[LIMIT - 1]!.id : undefined),
    refetchInterval: () => poll() || 4000,
  });
  const found: Task[] = query.data?.pages.flatMap((page) => page.items) ?? [];
  const total = query.data?.pages[0]?.total ?? 0;
  const isFiltered = Boolean(status || kind || search);
  return (
    <Page>
      <PageHead title={t("title")} text={t("text")} />
      <div className="flex flex-wrap gap-2">
        <input type="search" aria-label={common("search")} placeholder={common("search")} className={`${INPUT} max-w-72`} value={text} onChange={(event) => setText(event.target.value)} />
        <select aria-label={t("filter.status")} className={`${INPUT} w-auto!`} value={status} onChange={(event) => setStatus(event.target.value)}>
          <option value="">{t("filter.status")}: {common("all")}</option>
          {STATES.map((one) => <option key={one} value={one}>{common(`status.${one}`)}</option>)}
        </select>
        <select aria-label={t("filter.kind")} className={`${INPUT} w-auto!`} value={kind} onChange={(event) => setKind(event.target.value)}>
          <option value="">{t("filter.kind")}: {common("all")}</option>
          {KINDS.map((one) => <option key={one} value={one}>{common(`kind.${one}`)}</option>)}
        </select>
      </div>
      {query.error && !found.length ? (
        <ErrorNote error={asErrorBody(query.error)} onRetry={() => void query.refetch()} />
      ) : query.isPending ? (
        <Skeletons rows={6} />
      ) : !found.length ? (
        isFiltered
          ? <Empty icon={SearchX} title={t("none.title")} text={t("none.text")} />
          : <Empty icon={ListTodo} title={t("empty.title")} text={t("empty.text")} samples={[{ label: t("empty.first"), onSelect: () => navigate("/train") }]} />
      ) : (
        <Card flush aside={<span className="text-xs text-muted tabular-nums">{t("shown", { n: formatNumber(found.length), total: formatNumber(total) })}</span>}>
          {/* Rows far from the window cost no layout. */}
          {found.map((task) => <div key={task.id} className="[contain-intrinsic-size:auto_72px] [content-visibility:auto]"><TaskRow task={task} /></div>)}
          {query.hasNextPage && (
            <div className="flex justify-center p-3">
              <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t("more")}</Button>
            </div>
          )}
        </Card>
      )}
    </Page>
  );
}

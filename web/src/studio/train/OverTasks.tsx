/** Tasks that are over, with a filter by state and a search. */
import { Search } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { Tabs } from "~/shared/components/Tabs";
import { OVER, type Status } from "../api";
import { Card, INPUT, Skeletons } from "../parts/layout";
import { useStudioWords } from "../words";
import { useSettled, useTasks } from "./hooks";
import { OverRow } from "./OverRow";
import { LINK } from "./Step";
import { those } from "./TaskLists";
import { useTrainWords } from "./words";

const FILTERS = { all: [...OVER], completed: ["completed"], failed: ["failed"], stopped: ["stopped", "interrupted"] } satisfies Record<string, Status[]>;
type Filter = keyof typeof FILTERS;
const AT_FIRST = 8;
const MORE = 20;
const AT_MOST = 200;
const TYPING_MS = 250;

export function OverTasks() {
  const t = useTrainWords();
  const studio = useStudioWords();
  const [filter, setFilter] = useState<Filter>("all");
  const [text, setText] = useState("");
  const [limit, setLimit] = useState(AT_FIRST);
  const search = useSettled(text.trim(), TYPING_MS);
  const states = FILTERS[filter];
  const query = useTasks({ status: states.join(), search, limit });
  const found = those(query.data?.items ?? [], states);
  const isNarrowed = filter !== "all" || search !== "";
  const hasMore = query.data !== undefined && query.data.total > query.data.items.length && limit < AT_MOST;
  const tabs = [
    { name: "all" as const, title: studio("all") }, { name: "completed" as const, title: t("over.completed") },
    { name: "failed" as const, title: t("over.failed") }, { name: "stopped" as const, title: t("over.stopped") },
  ];
  return (
    <Card flush title={t("over")} aside={<Link href="/tasks" className={LINK}>{t("over.all")}</Link>}>
      <div className="flex flex-col gap-2 px-4 pt-1 pb-3">
        <Tabs label={t("over.filter")} tabs={tabs} chosen={filter} onChoose={(name) => { setFilter(name); setLimit(AT_FIRST); }} />
        <div className="relative">
          <Search size={16} aria-hidden className="pointer-events-none absolute top-2.5 left-3 text-muted" />
          <input
            type="search"
            aria-label={t("over.search")}
            placeholder={t("over.search")}
            className={`${INPUT} pl-9`}
            value={text}
            onChange={(event) => { setText(event.target.value); setLimit(AT_FIRST); }}
          />
        </div>
      </div>
      <div className={`border-t border-line ${query.isPlaceholderData ? "opacity-60" : ""}`} aria-busy={query.isFetching}>
        {!query.data ? (
          <div className="p-4">{query.error ? <ErrorNote error={asErrorBody(query.error)} onRetry={() => void query.refetch()} /> : <Skeletons rows={4} className="h-12" />}</div>
        ) : found.length ? found.map((task) => <OverRow key={task.id} task={task} />)
          : <p className="p-4 text-pretty text-muted">{t(isNarrowed ? "over.noneFound" : "over.none")}</p>}
      </div>
      {hasMore && (
        <div className="border-t border-line p-2">
          <Button kind="quiet" className="w-full" onClick={() => setLimit((before) => Math.min(AT_MOST, before + MORE))}>{t("over.more")}</Button>
        </div>
      )}
    </Card>
  );
}

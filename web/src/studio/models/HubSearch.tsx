/** Models on the Hub by their names. Each leads to its check, which is where one is installed from. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Check, ChevronRight, Lock, Search } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { ErrorNote } from "~/shared/components/states";
import { formatCount } from "~/shared/i18n";
import { type HubModel, type Model, models } from "../api";
import { Badge } from "../parts/Badge";
import { INPUT, Skeletons } from "../parts/layout";
import { useSettled } from "../train/hooks";
import { checkPath } from "./paths";
import { useModelsWords } from "./words";

const LEAST_LETTERS = 2;
const SEARCH_MS = 400;

export function HubSearch({ installed }: { installed: Model[] }) {
  const t = useModelsWords();
  const [text, setText] = useState("");
  const isAsked = text.trim().length >= LEAST_LETTERS;
  return (
    <search className="overflow-hidden rounded-lg border border-line bg-panel shadow-low">
      <div className="relative p-3">
        <Search size={16} aria-hidden className="pointer-events-none absolute top-5.5 left-6 text-muted" />
        <input
          type="search"
          aria-label={t("hub.search")}
          placeholder={t("hub.search")}
          autoComplete="off"
          spellCheck={false}
          className={`${INPUT} pl-9`}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      {isAsked && <Found text={text.trim()} installed={installed} />}
    </search>
  );
}

function Found({ text, installed }: { text: string; installed: Model[] }) {
  const t = useModelsWords();
  const wanted = useSettled(text, SEARCH_MS);
  const { data, error, refetch, isFetching, isPlaceholderData } = useQuery({
    queryKey: ["hub", wanted], queryFn: ({ signal }) => models.search(wanted, signal), staleTime: 60_000, retry: 0, placeholderData: keepPreviousData,
  });
  return (
    <div aria-busy={isFetching} className="border-t border-line">
      {error && !isFetching ? <div className="p-3"><ErrorNote error={asErrorBody(error)} onRetry={() => void refetch()} /></div>
        : !data ? <div className="p-3"><Skeletons rows={3} className="h-10" /></div>
        : data.length > 0 ? (
          <ul className={`max-h-96 divide-y divide-line overflow-y-auto ${isPlaceholderData ? "opacity-60" : ""}`}>
            {data.map((model) => <Row key={model.id} model={model} isHere={installed.some(({ id }) => id === model.id)} />)}
          </ul>
        ) : <p className="px-4 py-3 break-words text-muted">{t("hub.none", { text: wanted })}</p>}
      <Link
        href={checkPath(text)}
        className="flex min-h-11 items-center gap-2 border-t border-line px-4 py-2 font-medium text-accent-ink hover:bg-raised focus-visible:outline-offset-[-2px]"
      >
        <span className="min-w-0 flex-1 break-words">{t("hub.exactly", { text })}</span>
        <ChevronRight size={16} aria-hidden className="shrink-0" />
      </Link>
    </div>
  );
}

function Row({ model: { id, task, downloads, likes, gated }, isHere }: { model: HubModel; isHere: boolean }) {
  const t = useModelsWords();
  const facts = [task, t("hub.downloads", { n: formatCount(downloads) }), t("hub.likes", { n: formatCount(likes) })];
  return (
    <li>
      <Link href={checkPath(id)} className="flex min-h-12 items-center gap-x-3 px-4 py-2 transition-colors hover:bg-raised focus-visible:outline-offset-[-2px]">
        <span className="min-w-0 flex-1">
          <span className="block font-medium [overflow-wrap:anywhere]">{id}</span>
          <span className="block text-xs text-muted">{facts.filter(Boolean).join(" · ")}</span>
        </span>
        <span className="flex shrink-0 flex-col items-end gap-1 sm:flex-row sm:items-center">
          {gated && <Badge tone="warn" icon={Lock} title={t("hub.gatedWhy")}>{t("hub.gated")}</Badge>}
          {isHere && <Badge tone="ok" icon={Check}>{t("hub.here")}</Badge>}
        </span>
        <span className="inline-flex shrink-0 items-center gap-1 font-medium text-accent-ink">{t("check")}<ChevronRight size={16} aria-hidden /></span>
      </Link>
    </li>
  );
}

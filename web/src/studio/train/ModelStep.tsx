/** Step 2: what is taught. Installed models, and those on the Hub. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Search } from "lucide-react";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { formatBytes, formatCount } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { type Model, models } from "../api";
import { INPUT, Skeletons } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { ChosenModel } from "./ChosenModel";
import { draft } from "./draft";
import { useModels, useSettled } from "./hooks";
import { ModelRows } from "./ModelRows";
import { Step } from "./Step";
import { useTrainWords } from "./words";

const LEAST_LETTERS = 2;
const SEARCH_MS = 400;

export function ModelStep() {
  const t = useTrainWords();
  const chosen = useStore(draft, (d) => d.model);
  const query = useModels();
  const model = query.data?.find(({ id }) => id === chosen);
  return (
    <Step
      number={2}
      title={t("model")}
      text={t("model.text")}
      isOpen={!chosen}
      done={model !== undefined}
      aside={chosen && <Button kind="quiet" onClick={() => draft.set({ model: "" })}>{t("change")}</Button>}
    >
      {chosen ? <ChosenModel id={chosen} model={model} isKnown={query.data !== undefined} /> : (
        <Loaded query={query} loading={<Skeletons rows={2} className="h-11" />}>{(all) => <Choose all={all} />}</Loaded>
      )}
    </Step>
  );
}

function Choose({ all }: { all: Model[] }) {
  const t = useTrainWords();
  const text = useStore(draft, (d) => d.search);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter(({ id, name, family }) => words.every((word) => `${id} ${name} ${family}`.toLowerCase().includes(word)));
  const choose = (model: string): void => draft.set({ model });
  return (
    <>
      <div className="relative">
        <Search size={16} aria-hidden className="pointer-events-none absolute top-2.5 left-3 text-muted" />
        <input
          type="search"
          aria-label={t("model.search")}
          placeholder={t("model.search")}
          autoComplete="off"
          spellCheck={false}
          className={`${INPUT} pl-9`}
          value={text}
          onChange={(event) => draft.set({ search: event.target.value })}
        />
      </div>
      <div>
        <h4 className="mb-1 text-xs font-medium text-muted">{t("model.installed")}</h4>
        {found.length > 0 ? (
          <ModelRows
            items={found.map(({ id, family, num_bytes, quantization, troubles }) => ({
              id, troubles, facts: [family, formatBytes(num_bytes), quantization === "none" ? "" : quantization],
            }))}
            onChoose={choose}
          />
        ) : <p className="break-words text-muted">{all.length ? t("model.noneFound", { text }) : t("model.none")}</p>}
      </div>
      {text.trim().length >= LEAST_LETTERS && <Hub text={text.trim()} installed={new Set(all.map(({ id }) => id))} onChoose={choose} />}
    </>
  );
}

function Hub({ text, installed, onChoose }: { text: string; installed: ReadonlySet<string>; onChoose: (id: string) => void }) {
  const t = useTrainWords();
  const wanted = useSettled(text, SEARCH_MS);
  const { data, error, refetch, isFetching, isPlaceholderData } = useQuery({
    queryKey: ["hub", wanted], queryFn: ({ signal }) => models.search(wanted, signal), staleTime: 60_000, retry: 0, placeholderData: keepPreviousData,
  });
  const found = data?.filter(({ id }) => !installed.has(id));
  return (
    <div aria-busy={isFetching}>
      <h4 className="mb-1 text-xs font-medium text-muted">{t("model.hub")}</h4>
      {error && !isFetching ? <ErrorNote error={asErrorBody(error)} onRetry={() => void refetch()} />
        : !found ? <Skeletons rows={2} className="h-11" />
        : found.length > 0 ? (
          <div className={isPlaceholderData ? "opacity-60" : ""}>
            <ModelRows
              items={found.map(({ id, task, downloads, gated }) => ({ id, gated, facts: [task, t("model.downloads", { n: formatCount(downloads) })] }))}
              onChoose={onChoose}
            />
          </div>
        ) : <p className="break-words text-muted">{t("model.hubNone", { text: wanted })}</p>}
    </div>
  );
}

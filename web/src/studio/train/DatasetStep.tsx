/** Step 1: what is learnt from. */
import { useMutation } from "@tanstack/react-query";
import { CircleCheck, FileText, FlaskConical, TriangleAlert } from "lucide-react";
import { Link } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { ErrorNote, Progress } from "~/shared/components/states";
import { formatNumber } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { type Dataset, datasets } from "../api";
import { noteOf } from "../problems";
import { useStudioWords } from "../words";
import { DatasetPick } from "./DatasetPick";
import { draft } from "./draft";
import { DropFile } from "./DropFile";
import { useDatasets } from "./hooks";
import { LINK, Step } from "./Step";
import { list } from "./upload";
import { useTrainWords } from "./words";

export function DatasetStep() {
  const t = useTrainWords();
  const chosen = useStore(draft, (d) => d.dataset);
  const query = useDatasets();
  const found = query.data?.find(({ id }) => id === chosen);
  const isGone = chosen !== null && query.data !== undefined && !query.isFetching && !found;
  const isOpen = chosen === null || isGone;
  return (
    <Step
      number={1}
      title={t("dataset")}
      text={t("dataset.text")}
      isOpen={isOpen}
      done={found !== undefined && found.is_read && !found.error}
      aside={!isOpen && <Button kind="quiet" onClick={() => draft.set({ dataset: null })}>{t("change")}</Button>}
    >
      {isGone && <p role="alert" className="rounded-md bg-warn-soft px-3 py-2 text-warn">{t("dataset.gone")}</p>}
      {isOpen ? <Choose all={query.data} error={query.error} onRetry={() => void query.refetch()} /> : found ? <Chosen dataset={found} />
        : query.error ? <ErrorNote error={asErrorBody(query.error)} onRetry={() => void query.refetch()} /> : <div className="skeleton h-11" />}
    </Step>
  );
}

function Choose({ all, error, onRetry }: { all: Dataset[] | undefined; error: Error | null; onRetry: () => void }) {
  const t = useTrainWords();
  const sample = useMutation({
    mutationFn: datasets.sample,
    onSuccess: (dataset) => {
      list(dataset);
      draft.set({ dataset: dataset.id });
    },
  });
  return (
    <>
      <DropFile />
      {all ? all.length > 0 && <DatasetPick all={all} onChoose={(id) => draft.set({ dataset: id })} />
        : error ? <ErrorNote error={asErrorBody(error)} onRetry={onRetry} /> : <div className="skeleton h-15" />}
      <Button icon={FlaskConical} className="self-start" disabled={sample.isPending} onClick={() => sample.mutate()}>{t("dataset.sample")}</Button>
      {sample.error && <ErrorNote error={asErrorBody(sample.error)} onRetry={() => sample.mutate()} />}
    </>
  );
}

function Chosen({ dataset }: { dataset: Dataset }) {
  const t = useTrainWords();
  const studio = useStudioWords();
  const { id, name, version, format, num_rows: rows, facts, error, is_read: isRead } = dataset;
  const problems = (facts.findings ?? []).filter(({ level }) => level !== "note");
  const count = problems.length === 0 ? t("problems.0") : problems.length === 1 ? t("problems.1") : t("problems.n", { n: problems.length });
  const Icon = problems.length ? TriangleAlert : CircleCheck;
  return (
    <>
      <div className="flex items-start gap-3 rounded-md border border-line bg-page px-3 py-2">
        <FileText size={18} aria-hidden className="mt-0.5 shrink-0 text-muted" />
        <div className="min-w-0 flex-1">
          <p className="truncate font-medium" title={name}>{name}{version > 1 && <span className="text-muted"> v{formatNumber(version)}</span>}</p>
          <p className="flex flex-wrap items-center gap-x-4 text-muted">
            {isRead && !error && (
              <>
                <span>{format}</span>
                <span className="tabular-nums">{studio("rows", { n: rows })}</span>
                <span className={`inline-flex items-center gap-1 ${problems.length ? "text-warn" : "text-ok"}`} title={problems.map(({ what }) => what).join("\n")}>
                  <Icon size={14} aria-hidden />
                  {count}
                </span>
              </>
            )}
            <Link href={`/datasets/${id}`} className={LINK}>{t("dataset.open")}</Link>
          </p>
        </div>
      </div>
      {!isRead && (
        <div role="status" className="flex flex-col gap-2">
          <Progress done={0} label={t("dataset.reading")} />
          <p className="text-xs text-muted">{t("dataset.readingText")}</p>
        </div>
      )}
      {error && <ErrorNote error={noteOf(error)} />}
    </>
  );
}

/** The form: dataset, base, name, what will be used, start. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Play } from "lucide-react";
import { type SubmitEvent, useId } from "react";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { toast } from "~/shared/components/Toasts";
import { formatBytes, formatDuration } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { type Dataset, tasks, training } from "../api";
import { learn } from "../live";
import { INPUT } from "../parts/layout";
import { DatasetStep } from "./DatasetStep";
import { clearDraft, draft, freeName, nameOf } from "./draft";
import { useDatasets, useModels, usePlan } from "./hooks";
import { ModelStep } from "./ModelStep";
import { PlanSection } from "./PlanSection";
import { Step } from "./Step";
import { useTrainWords } from "./words";

/** The name that stands where none is typed, such as no task has yet. */
function useDefaultName(dataset: Dataset | undefined, model: string): string {
  const name = nameOf(dataset, model);
  const query = { search: name, limit: 100 };
  const { data } = useQuery({ queryKey: ["tasks", query], queryFn: () => tasks.list(query), enabled: name !== "" });
  return freeName(name, new Set(data?.items.map(({ task_name }) => task_name)));
}

export function NewTraining({ onStarted }: { onStarted: () => void }) {
  const t = useTrainWords();
  const id = useId();
  const { dataset: number, model, name: typed, params, from } = useStore(draft, (d) => d);
  const dataset = useDatasets().data?.find((one) => one.id === number);
  const isInstalled = useModels().data?.some((one) => one.id === model) ?? false;
  const isUsable = dataset !== undefined && dataset.is_read && !dataset.error;
  const planned = usePlan(isUsable && isInstalled ? { base_model: model, dataset_id: dataset.id, training_params: params } : null);
  const fallback = useDefaultName(dataset, model);
  const name = typed?.trim() || fallback;
  const start = useMutation({
    mutationFn: (asked: Parameters<typeof training.start>[0]) => training.start({ ...asked, parent_id: draft.get().from?.id }),
    onSuccess: (task) => {
      learn(task);
      toast(t("started", { name: task.task_name }));
      draft.set({ name: null, from: null });
      onStarted();
    },
  });
  const missing = !dataset ? t("needs.dataset") : !dataset.is_read ? t("needs.read") : !isUsable ? t("needs.usable") : !model ? t("needs.model") : !isInstalled ? t("needs.installed") : planned.error ? t("needs.plan") : "";
  const onSubmit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (missing || start.isPending || !dataset) return;
    start.mutate({ task_name: name, base_model: model, dataset_id: dataset.id, training_params: params });
  };
  const { plan } = planned;
  return (
    <section aria-labelledby={`${id}-title`} className="min-w-0 rounded-lg border border-line bg-panel shadow-low">
      <div className="flex min-h-13 flex-wrap items-center justify-between gap-2 border-b border-line px-4 py-2 sm:px-5">
        <h2 id={`${id}-title`} className="text-base font-semibold">{t("new")}</h2>
        {(number !== null || model || typed !== null) && <Button kind="quiet" className="-mr-3" onClick={() => toast(t("cleared"), { undo: clearDraft() })}>{t("clear")}</Button>}
      </div>
      {from && <p className="border-b border-line bg-accent-soft px-4 py-2 break-words text-accent-ink sm:px-5">{t("from", { name: from.name })}</p>}
      <DatasetStep />
      <ModelStep />
      <Step number={3} title={t("name")} done={name !== "" && isUsable && model !== ""}>
        <form id={`${id}-form`} onSubmit={onSubmit}>
          <input
            id={`${id}-name`}
            aria-label={t("name")}
            aria-describedby={`${id}-hint`}
            autoComplete="off"
            spellCheck={false}
            maxLength={200}
            className={INPUT}
            placeholder={fallback}
            value={typed ?? fallback}
            onChange={(event) => draft.set({ name: event.target.value })}
          />
          <p id={`${id}-hint`} className="mt-1 text-xs text-muted">{t("name.hint")}</p>
        </form>
      </Step>
      <PlanSection planned={planned} before={t(isUsable && model ? "plan.install" : "plan.first")} />
      <div className="flex flex-col gap-3 px-4 py-4 sm:px-5">
        {start.error && <ErrorNote error={asErrorBody(start.error)} />}
        <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
          <Button kind="primary" type="submit" form={`${id}-form`} icon={Play} className="h-10! px-4!" disabled={missing !== "" || start.isPending} aria-describedby={`${id}-about`}>
            {t("start")}
          </Button>
          <p id={`${id}-about`} className="text-muted tabular-nums">
            {missing || (plan && (plan.seconds === null ? formatBytes(plan.predicted_peak_bytes) : t("start.about", { time: formatDuration(plan.seconds), memory: formatBytes(plan.predicted_peak_bytes) })))}
          </p>
        </div>
      </div>
    </section>
  );
}

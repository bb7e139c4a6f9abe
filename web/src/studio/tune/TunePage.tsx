/** Searches: begun by a dialog or at once, and watched. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { SlidersHorizontal, Zap } from "lucide-react";
import { useState } from "react";
import { useSearchParams } from "wouter";
import { Button } from "~/shared/components/Button";
import { Empty } from "~/shared/components/states";
import { datasets, models, system, tasks, training } from "../api";
import { learn, poll } from "../live";
import { StatusBadge } from "../parts/Badge";
import { Card, Page, PageHead } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { toastError } from "../problems";
import { Configure } from "./Configure";
import { SearchView } from "./SearchView";
import { useTuneWords } from "./words";

const TRIALS = 20;

export function TunePage() {
  const t = useTuneWords();
  const [open, setOpen] = useState(false);
  const [params, setParams] = useSearchParams();
  const query = useQuery({ queryKey: ["tasks", { kind: "tune" }], queryFn: () => tasks.list({ kind: "tune", limit: 50 }), refetchInterval: poll });
  const like = Number(params.get("clone"));
  const { data: from } = useQuery({ queryKey: ["task", like], queryFn: () => tasks.one(like), enabled: like > 0 });
  const choose = (id: number): void => setParams({ task: String(id) }, { replace: true });
  return (
    <Page wide>
      <PageHead title={t("title")} text={t("text")}>
        <QuickStart onBegun={choose} />
        <Button kind="primary" icon={SlidersHorizontal} onClick={() => setOpen(true)}>{t("configure")}</Button>
      </PageHead>
      <Loaded query={query} loading={<div className="skeleton h-96" />}>
        {({ items }) => {
          if (!items.length) return <Empty icon={SlidersHorizontal} title={t("empty.title")} text={t("empty.text")} samples={[{ label: t("configure"), onSelect: () => setOpen(true) }]} />;
          const chosen = items.find(({ id }) => String(id) === params.get("task")) ?? items[0]!;
          return (
            <div className="grid items-start gap-4 lg:grid-cols-[16rem_minmax(0,1fr)]">
              <Card flush title={t("searches")}>
                <ul className="max-h-72 overflow-y-auto lg:max-h-[36rem]">
                  {items.map((task) => (
                    <li key={task.id}>
                      <button
                        type="button"
                        aria-current={task.id === chosen.id}
                        className={`flex w-full flex-col items-start gap-1 border-t border-line px-4 py-2.5 text-left hover:bg-raised ${task.id === chosen.id ? "bg-accent-soft" : ""}`}
                        onClick={() => choose(task.id)}
                      >
                        <span className="w-full truncate font-medium" title={task.task_name}>{task.task_name}</span>
                        <StatusBadge status={task.status} />
                      </button>
                    </li>
                  ))}
                </ul>
              </Card>
              <SearchView key={chosen.id} task={chosen} />
            </div>
          );
        }}
      </Loaded>
      {(open || from) && (
        <Configure from={from} onClose={() => { setOpen(false); setParams({}, { replace: true }); }} onBegun={(id) => { setOpen(false); choose(id); }} />
      )}
    </Page>
  );
}

/** What is there is enough: the newest dataset, the first model, the first judge. */
function QuickStart({ onBegun }: { onBegun: (id: number) => void }) {
  const t = useTuneWords();
  const { data: sets = [] } = useQuery({ queryKey: ["datasets"], queryFn: datasets.list });
  const { data: bases = [] } = useQuery({ queryKey: ["models"], queryFn: models.list });
  const { data: judges = [] } = useQuery({ queryKey: ["judges"], queryFn: system.judges });
  const dataset = sets.find(({ error, is_read }) => is_read && !error);
  const base = bases.find(({ id, troubles }) => id !== "demo" && !troubles.length) ?? bases[0];
  const judge = judges.find(({ has_key }) => has_key);
  const begin = useMutation({
    mutationFn: () => training.tune({
      dataset_id: dataset!.id,
      fine_tuning_params: { use_llm_judge: Boolean(judge), judge_model_id: judge?.id ?? "", base_model_name: base!.id, n_trials: TRIALS },
    }),
    onSuccess: (task) => { learn(task); onBegun(task.id); },
    onError: toastError,
  });
  const hint = dataset && base
    ? t("quick.hint", { trials: TRIALS, model: base.id, dataset: dataset.name, judge: judge ? t("quick.judge", { name: judge.id }) : t("quick.noJudge") })
    : t("quick.noData");
  return <Button icon={Zap} title={hint} disabled={!dataset || !base || begin.isPending} onClick={() => begin.mutate()}>{t("quick")}</Button>;
}

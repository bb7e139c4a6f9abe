/** What a search is asked for. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Button } from "~/shared/components/Button";
import { Dialog } from "~/shared/components/Dialog";
import { toast } from "~/shared/components/Toasts";
import { useT } from "~/shared/i18n";
import { datasets, models, system, type Task, training } from "../api";
import { learn } from "../live";
import { INPUT, Labelled } from "../parts/layout";
import { toastError } from "../problems";
import { useTuneWords } from "./words";

const [FEWEST, MOST, USUAL] = [5, 100, 20];

/** Of a search's spec, what the dialog asks for itself, or what another search must not have: its study, its folder. */
const HERE: ReadonlySet<string> = new Set(["model", "data", "trials", "judge", "no_judge", "name", "output", "storage", "tensorboard_port"]);

/** `from`: the search that this one is to be like, with changes. */
export function Configure({ from, onClose, onBegun }: { from?: Task; onClose: () => void; onBegun: (id: number) => void }) {
  const t = useTuneWords();
  const shared = useT();
  const id = useId();
  const { data: sets = [] } = useQuery({ queryKey: ["datasets"], queryFn: datasets.list });
  const { data: bases = [] } = useQuery({ queryKey: ["models"], queryFn: models.list });
  const { data: judges = [] } = useQuery({ queryKey: ["judges"], queryFn: system.judges });
  const usable = sets.filter(({ error, is_read }) => is_read && !error);
  const [asks, setAsks] = useState<boolean | null>(from ? !from.training_params.no_judge : null);
  const [judge, setJudge] = useState(String(from?.training_params.judge ?? ""));
  const [base, setBase] = useState(from?.base_model ?? "");
  const [dataset, setDataset] = useState(from?.dataset ?? 0);
  const [trials, setTrials] = useState(Number(from?.training_params.trials ?? USUAL));
  const isAsking = asks ?? judges.length > 0;
  const chosenBase = base || bases[0]?.id || "";
  const chosenSet = dataset || usable[0]?.id || 0;
  const begin = useMutation({
    mutationFn: () => training.tune({
      dataset_id: chosenSet,
      fine_tuning_params: { use_llm_judge: isAsking, judge_model_id: isAsking ? judge || judges[0]?.id || "" : "", base_model_name: chosenBase, n_trials: trials },
      tuning_params: Object.fromEntries(Object.entries(from?.training_params ?? {}).filter(([name, value]) => !HERE.has(name) && value !== null)),
    }),
    onSuccess: (task) => { learn(task); toast(t("d.begun")); onBegun(task.id); },
    onError: toastError,
  });
  return (
    <Dialog title={t("d.title")} onClose={onClose}>
      <form className="flex flex-col gap-4 px-4 pb-4" onSubmit={(event) => { event.preventDefault(); begin.mutate(); }}>
        <div>
          <label className="flex min-h-9 items-center gap-2 font-medium">
            <input type="checkbox" className="size-4 accent-accent" checked={isAsking} disabled={!judges.length} onChange={(event) => setAsks(event.target.checked)} />
            {t("d.judge")}
          </label>
          <p className="text-xs text-muted">{judges.length ? t("d.judgeHint") : t("d.none")}</p>
        </div>
        {isAsking && judges.length > 0 && (
          <Labelled id={`${id}j`} label={t("d.which")}>
            <select id={`${id}j`} className={INPUT} value={judge || judges[0]!.id} onChange={(event) => setJudge(event.target.value)}>
              {judges.map((one) => <option key={one.id} value={one.id}>{one.id}{one.model ? ` · ${one.model}` : ""}</option>)}
            </select>
          </Labelled>
        )}
        <Labelled id={`${id}b`} label={t("d.base")}>
          <input id={`${id}b`} required list={`${id}l`} className={INPUT} value={base} placeholder={chosenBase} onChange={(event) => setBase(event.target.value)} {...(chosenBase ? { required: false } : {})} />
          <datalist id={`${id}l`}>{bases.map((one) => <option key={one.id} value={one.id} />)}</datalist>
        </Labelled>
        <Labelled id={`${id}d`} label={t("d.dataset")} problem={usable.length ? undefined : t("quick.noData")}>
          <select id={`${id}d`} required className={INPUT} value={chosenSet} onChange={(event) => setDataset(Number(event.target.value))}>
            {usable.map((one) => <option key={one.id} value={one.id}>{one.name} · {one.version}</option>)}
          </select>
        </Labelled>
        <Labelled id={`${id}t`} label={t("d.trials")}>
          <div className="flex items-center gap-3">
            <input type="range" aria-label={t("d.trials")} min={FEWEST} max={MOST} className="min-w-0 flex-1" value={trials} onChange={(event) => setTrials(event.target.valueAsNumber)} />
            <input id={`${id}t`} type="number" min={FEWEST} max={MOST} required className={`${INPUT} w-20! text-right tabular-nums`} value={trials} onChange={(event) => setTrials(event.target.valueAsNumber)} />
          </div>
        </Labelled>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{shared("cancel")}</Button>
          <Button kind="primary" type="submit" disabled={begin.isPending || !chosenSet || !chosenBase}>{t("d.begin")}</Button>
        </div>
      </form>
    </Dialog>
  );
}

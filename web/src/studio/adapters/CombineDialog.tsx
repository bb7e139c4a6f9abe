/** One adapter of several. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { toast } from "~/shared/components/Toasts";
import { type Adapter, adapters } from "../api";
import { FormDialog } from "../parts/FormDialog";
import { INPUT, Labelled } from "../parts/layout";
import { refresh } from "./AdapterMenu";
import { NameField, useNameProblem } from "./NameField";
import { useAdapterWords } from "./words";

const OWN = ["cat", "svd", "ties", "dare_ties", "dare_linear", "linear", "magnitude_prune"] as const;
/** Of the whole changes, not of their two factors. */
const WHOLE = ["ties_svd", "dare_ties_svd", "dare_linear_svd", "magnitude_prune_svd"] as const;
type Method = (typeof OWN)[number] | (typeof WHOLE)[number];
const isWhole = (method: Method): method is (typeof WHOLE)[number] => method.endsWith("_svd");
const ownOf = (method: Method): (typeof OWN)[number] => method.replace("_svd", "") as (typeof OWN)[number];
/** These count each in full; the others are averaged. */
const sums = (method: Method): boolean => method.startsWith("ties") || method.startsWith("dare");
/** These leave values out. */
const thins = (method: Method): boolean => sums(method) || method.startsWith("magnitude");
/** These make one rank of all. */
const isRanked = (method: Method): boolean => method.endsWith("svd");

export function CombineDialog({ of, onDone, onClose }: { of: Adapter[]; onDone: () => void; onClose: () => void }) {
  const t = useAdapterWords();
  const [name, setName] = useState("");
  const [method, setMethod] = useState<Method>("cat");
  const [rank, setRank] = useState("");
  const [density, setDensity] = useState("");
  const [weights, setWeights] = useState<Record<string, string>>({});
  const problem = useNameProblem(name);
  const usual = sums(method) ? 1 : Math.round(1000 / of.length) / 1000;
  const given = of.map((one) => Number((weights[one.name] ?? "") || usual));
  const ranks = of.map((one) => one.rank ?? 0);
  const isRank = !isRanked(method) || rank === "" || (Number.isInteger(Number(rank)) && Number(rank) >= 1);
  const isShare = !thins(method) || density === "" || (Number(density) > 0 && Number(density) <= 1);
  const canBeSent = given.every(Number.isFinite) && isRank && isShare;
  const making = useMutation({
    mutationFn: () => adapters.combine({
      adapters: of.map((one) => one.name), name, method,
      ...(isRanked(method) && rank && { rank: Number(rank) }),
      ...(thins(method) && density && { density: Number(density) }),
      weights: Object.values(weights).some(Boolean) ? given.join(",") : "",
    }),
    onSuccess: (made) => {
      toast(t("combine.done", { name: made.name }));
      refresh();
      onDone();
    },
  });
  return (
    <FormDialog
      title={t("combine.title", { n: of.length })} action={t("combine")} isPending={making.isPending} disabled={!name || !canBeSent || problem !== undefined}
      error={making.error} onSubmit={() => making.mutate()} onClose={onClose}
    >
      <p className="text-pretty text-muted">{of.map((one) => one.name).join(" + ")}. {t("combine.text")}</p>
      <NameField value={name} problem={problem} onChange={setName} />
      <Labelled id="combine-method" label={t("combine.method")} hint={t(isWhole(method) ? "lower.hint" : `m.${method}.hint`)}>
        <select id="combine-method" className={INPUT} value={method} onChange={(event) => setMethod(event.target.value as Method)}>
          {[...OWN, ...WHOLE].map((one) => <option key={one} value={one}>{t(`m.${ownOf(one)}`) + (isWhole(one) ? t("lower") : "")}</option>)}
        </select>
      </Labelled>
      <div className="grid gap-3 sm:grid-cols-2">
        {isRanked(method) && <Figure id="combine-rank" label={t("resize.rank")} placeholder={String(Math.max(...ranks))} value={rank} isWrong={!isRank} onChange={setRank} />}
        {thins(method) && <Figure id="combine-density" label={t("density")} placeholder="0.5" value={density} isWrong={!isShare} onChange={setDensity} />}
        {of.map((one) => (
          <Figure
            key={one.name}
            id={`weight-${one.name}`}
            label={t("combine.weights", { name: one.name })}
            placeholder={String(usual)}
            value={weights[one.name] ?? ""}
            isWrong={!Number.isFinite(Number(weights[one.name] ?? ""))}
            onChange={(value) => setWeights((before) => ({ ...before, [one.name]: value }))}
          />
        ))}
      </div>
    </FormDialog>
  );
}

interface FigureProps {
  id: string;
  label: string;
  placeholder: string;
  value: string;
  isWrong: boolean;
  onChange: (value: string) => void;
}

function Figure({ id, label, placeholder, value, isWrong, onChange }: FigureProps) {
  return (
    <Labelled id={id} label={label}>
      <input id={id} inputMode="decimal" autoComplete="off" aria-invalid={isWrong} placeholder={placeholder} className={`${INPUT} tabular-nums`} value={value} onChange={(event) => onChange(event.target.value)} />
    </Labelled>
  );
}

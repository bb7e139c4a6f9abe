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

const METHODS = ["cat", "svd", "ties", "dare_ties", "linear"] as const;
type Method = (typeof METHODS)[number];
/** These count each in full; the others are averaged. */
const SUMS: ReadonlySet<Method> = new Set(["ties", "dare_ties"]);

export function CombineDialog({ of, onDone, onClose }: { of: Adapter[]; onDone: () => void; onClose: () => void }) {
  const t = useAdapterWords();
  const [name, setName] = useState("");
  const [method, setMethod] = useState<Method>("cat");
  const [weights, setWeights] = useState<Record<string, string>>({});
  const problem = useNameProblem(name);
  const usual = SUMS.has(method) ? 1 : Math.round(1000 / of.length) / 1000;
  const given = of.map((one) => Number((weights[one.name] ?? "") || usual));
  const areNumbers = given.every(Number.isFinite);
  const making = useMutation({
    mutationFn: () => adapters.combine({
      adapters: of.map((one) => one.name), name, method, rank: null,
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
      title={t("combine.title", { n: of.length })} action={t("combine")} isPending={making.isPending} disabled={!name || !areNumbers || problem !== undefined}
      error={making.error} onSubmit={() => making.mutate()} onClose={onClose}
    >
      <p className="text-pretty text-muted">{of.map((one) => one.name).join(" + ")}. {t("combine.text")}</p>
      <NameField value={name} problem={problem} onChange={setName} />
      <Labelled id="combine-method" label={t("combine.method")} hint={t(`m.${method}.hint`)}>
        <select id="combine-method" className={INPUT} value={method} onChange={(event) => setMethod(event.target.value as Method)}>
          {METHODS.map((one) => <option key={one} value={one}>{t(`m.${one}`)}</option>)}
        </select>
      </Labelled>
      <div className="grid gap-3 sm:grid-cols-2">
        {of.map((one) => (
          <Labelled key={one.name} id={`weight-${one.name}`} label={t("combine.weights", { name: one.name })}>
            <input
              id={`weight-${one.name}`}
              inputMode="decimal"
              placeholder={String(usual)}
              className={`${INPUT} tabular-nums`}
              value={weights[one.name] ?? ""}
              onChange={(event) => setWeights((before) => ({ ...before, [one.name]: event.target.value }))}
            />
          </Labelled>
        ))}
      </div>
    </FormDialog>
  );
}

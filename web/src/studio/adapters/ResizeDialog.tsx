/** A smaller adapter of a large one. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { toast } from "~/shared/components/Toasts";
import { formatBytes, formatNumber } from "~/shared/i18n";
import { type Adapter, adapters } from "../api";
import { FormDialog } from "../parts/FormDialog";
import { INPUT, Labelled } from "../parts/layout";
import { refresh } from "./AdapterMenu";
import { NameField, useNameProblem } from "./NameField";
import { useAdapterWords } from "./words";

export function ResizeDialog({ adapter, onClose }: { adapter: Adapter; onClose: () => void }) {
  const t = useAdapterWords();
  const most = (adapter.rank ?? 2) - 1;
  const [rank, setRank] = useState(String(Math.max(1, Math.floor((adapter.rank ?? 2) / 2))));
  const [name, setName] = useState("");
  const problem = useNameProblem(name);
  const wanted = Number(rank);
  const isRank = Number.isInteger(wanted) && wanted >= 1 && wanted <= most;
  const making = useMutation({
    mutationFn: () => adapters.resize({ adapter: adapter.name, name, rank: wanted }),
    onSuccess: (made) => {
      toast(t("resize.done", { name: made.name, from: made.rank_before, to: made.rank_after, small: formatBytes(made.bytes_after), energy: formatNumber(made.energy * 100, 1) }));
      refresh();
      onClose();
    },
  });
  return (
    <FormDialog
      title={t("resize.title", { name: adapter.name })} action={t("resize.do")} isPending={making.isPending} disabled={!isRank || problem !== undefined}
      error={making.error} onSubmit={() => making.mutate()} onClose={onClose}
    >
      <p className="text-pretty text-muted">{t("resize.text")}</p>
      <Labelled id="resize-rank" label={t("resize.rank")} hint={t("resize.hint", { rank: adapter.rank ?? "?", size: formatBytes(adapter.num_bytes) })}>
        <input id="resize-rank" type="number" min={1} max={most} step={1} aria-invalid={!isRank} className={`${INPUT} tabular-nums`} value={rank} onChange={(event) => setRank(event.target.value)} />
      </Labelled>
      <NameField value={name} problem={problem} placeholder={`${adapter.name}-r${rank}`} onChange={setName} />
    </FormDialog>
  );
}

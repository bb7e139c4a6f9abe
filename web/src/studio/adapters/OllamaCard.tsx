/** What Ollama has, where it runs. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { useState } from "react";
import { IconButton } from "~/shared/components/Button";
import { Confirm } from "~/shared/components/Dialog";
import { toast } from "~/shared/components/Toasts";
import { formatBytes } from "~/shared/i18n";
import { type OllamaFacts, ollama } from "../api";
import { queries } from "../live";
import { Card } from "../parts/layout";
import { toastError } from "../problems";
import { useAdapterWords } from "./words";

export function OllamaCard() {
  const t = useAdapterWords();
  const { data } = useQuery({ queryKey: ["ollama"], queryFn: ollama.facts, retry: 0 });
  if (!data || data.problem) return null; // most do not run it
  return (
    <Card title={t("ollama")} aside={<span className="text-xs text-muted">{t("ollama.at", { address: data.address })}</span>}>
      {data.models.length > 0
        ? <ul className="divide-y divide-line">{data.models.map((model) => <Row key={model.name} model={model} />)}</ul>
        : <p className="text-muted">{t("ollama.none")}</p>}
    </Card>
  );
}

function Row({ model: { name, family, num_bytes: bytes } }: { model: OllamaFacts["models"][number] }) {
  const t = useAdapterWords();
  const [asks, setAsks] = useState(false);
  const removal = useMutation({
    mutationFn: () => ollama.remove(name),
    onSuccess: () => toast(t("ollama.removed", { name })),
    onError: toastError,
    onSettled: () => queries.invalidateQueries({ queryKey: ["ollama"] }),
  });
  return (
    <li className="flex items-center gap-3 py-1.5">
      <span className="min-w-0 flex-1 font-medium [overflow-wrap:anywhere]">{name}</span>
      <span className="shrink-0 text-xs text-muted">{[family, formatBytes(bytes)].filter(Boolean).join(" · ")}</span>
      <IconButton label={t("ollama.remove", { name })} icon={Trash2} disabled={removal.isPending} onClick={() => setAsks(true)} />
      {asks && (
        <Confirm
          title={t("remove.title", { name })}
          text={t("ollama.lost", { size: formatBytes(bytes) })}
          action={t("remove")}
          onConfirm={() => { setAsks(false); removal.mutate(); }}
          onClose={() => setAsks(false)}
        />
      )}
    </li>
  );
}

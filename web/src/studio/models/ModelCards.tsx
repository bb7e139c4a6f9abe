/** Installed models, each with what was trained on it. */
import { useMutation } from "@tanstack/react-query";
import { Hammer, ScanSearch, Trash2, TriangleAlert } from "lucide-react";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { IconButton } from "~/shared/components/Button";
import { Confirm } from "~/shared/components/Dialog";
import { toast } from "~/shared/components/Toasts";
import { formatBytes, useT } from "~/shared/i18n";
import { type Adapter, type Model, models } from "../api";
import { queries } from "../live";
import { Badge } from "../parts/Badge";
import { BUTTON_LINK, MAIN_LINK } from "../parts/links";
import { toastError } from "../problems";
import { FitBadge } from "../train/FitBadge";
import { useCheck } from "../train/hooks";
import { isOf } from "./adapters";
import { AdapterTree, type TreeProps } from "./AdapterTree";
import { familyIcon, familyTitle } from "./families";
import { checkPath } from "./paths";
import { useModelsWords } from "./words";

/** It comes with lorasmith and cannot be removed. */
const DEMO = "demo";

interface CardsProps extends Omit<TreeProps, "adapters"> {
  all: Model[];
  adapters: Adapter[] | undefined;
}

/** Checked one after the other: together they would keep everything else waiting. */
export function ModelCards({ all, adapters, ...tree }: CardsProps) {
  const [settled, setSettled] = useState<ReadonlySet<string>>(new Set());
  const next = all.find(({ id, troubles }) => !settled.has(id) && !troubles.length)?.id;
  return (
    <div className="gap-4 *:mb-4 *:break-inside-avoid lg:columns-2">
      {all.map((model) => (
        <ModelCard
          key={model.name}
          model={model}
          adapters={adapters?.filter((one) => isOf(one, model))}
          canCheck={model.id === next || settled.has(model.id)}
          onSettled={() => setSettled((before) => new Set(before).add(model.id))}
          {...tree}
        />
      ))}
    </div>
  );
}

interface CardProps extends Omit<TreeProps, "adapters"> {
  model: Model;
  adapters: Adapter[] | undefined;
  canCheck: boolean;
  onSettled: () => void;
}

function ModelCard({ model, adapters, canCheck, onSettled, ...tree }: CardProps) {
  const t = useModelsWords();
  const shared = useT();
  const Icon = familyIcon(model.family);
  const facts = [familyTitle(model.family, shared), formatBytes(model.num_bytes), model.quantization === "none" ? "" : model.quantization];
  return (
    <article aria-label={model.id} className="min-w-0 rounded-lg border border-line bg-panel shadow-low">
      <div className="flex flex-col gap-3 p-4">
        <div className="flex flex-wrap items-start justify-between gap-x-3 gap-y-2">
          <div className="flex min-w-0 flex-[1_1_13rem] items-start gap-3">
            <span className="grid size-10 shrink-0 place-items-center rounded-md bg-accent-soft text-accent-ink"><Icon size={20} aria-hidden /></span>
            <div className="min-w-0 flex-1">
              <h3 className="font-semibold [overflow-wrap:anywhere]">{model.id}</h3>
              <p className="text-muted">{facts.filter(Boolean).join(" · ")}</p>
            </div>
          </div>
          {model.troubles.length > 0 ? <Badge tone="bad" icon={TriangleAlert}>{t("damaged")}</Badge> : <Verdict id={model.id} canCheck={canCheck} onSettled={onSettled} />}
        </div>
        {model.troubles.length > 0 && (
          <ul className="rounded-md bg-warn-soft px-3 py-2 break-words">
            {model.troubles.map((trouble) => <li key={trouble}>{trouble}</li>)}
          </ul>
        )}
        <div className="flex flex-wrap items-center gap-2">
          {model.troubles.length === 0 && <Link href={`/train?model=${encodeURIComponent(model.id)}`} className={MAIN_LINK}><Hammer size={16} aria-hidden />{t("train")}</Link>}
          <Link href={checkPath(model.id)} className={BUTTON_LINK}><ScanSearch size={16} aria-hidden />{t("check")}</Link>
          <span className="ml-auto">{model.name !== DEMO && <Remove model={model} adapters={adapters ?? []} />}</span>
        </div>
      </div>
      <div className="border-t border-line px-4 pt-3 pb-4">
        {adapters === undefined ? <div aria-hidden className="skeleton h-5 w-32" /> : (
          <>
            <p className="text-xs font-medium text-muted">{adapters.length ? t("adapters.n", { n: adapters.length }) : t("adapters.none")}</p>
            <AdapterTree adapters={adapters} {...tree} />
          </>
        )}
      </div>
    </article>
  );
}

function Verdict({ id, canCheck, onSettled }: { id: string; canCheck: boolean; onSettled: () => void }) {
  const check = useCheck(id, canCheck);
  const isSettled = check.isSuccess || check.isError;
  useEffect(() => {
    if (isSettled) onSettled();
    // Once for each check, whatever the parent draws in between.
  }, [isSettled]);
  return canCheck || isSettled ? <FitBadge query={check} /> : <span aria-hidden className="skeleton h-6 w-24 rounded-full" />;
}

function Remove({ model, adapters }: { model: Model; adapters: Adapter[] }) {
  const t = useModelsWords();
  const [asks, setAsks] = useState(false);
  const removal = useMutation({
    mutationFn: () => models.remove(model.name),
    onSuccess: () => toast(t("removed", { name: model.id })),
    onError: toastError,
    onSettled: () => queries.invalidateQueries({ queryKey: ["models"] }),
  });
  const lost = t("remove.lost", { size: formatBytes(model.num_bytes) });
  return (
    <>
      <IconButton label={t("remove.of", { name: model.id })} icon={Trash2} disabled={removal.isPending} onClick={() => setAsks(true)} />
      {asks && (
        <Confirm
          title={t("remove.title", { name: model.id })}
          text={adapters.length ? `${lost} ${t("remove.adapters", { n: adapters.length, names: adapters.map(({ name }) => name).join(", ") })}` : lost}
          action={t("remove")}
          onConfirm={() => { setAsks(false); removal.mutate(); }}
          onClose={() => setAsks(false)}
        />
      )}
    </>
  );
}

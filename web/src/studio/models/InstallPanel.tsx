/** From a check to a model that is here: how it is to be stored, the installation itself, and what comes after it. */
import { useMutation } from "@tanstack/react-query";
import { CircleCheck, Download, Hammer } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { formatBytes, formatNumber } from "~/shared/i18n";
import { type Model, models, OVER, type Task } from "../api";
import { learn } from "../live";
import { INPUT } from "../parts/layout";
import { MAIN_LINK, TEXT_LINK } from "../parts/links";
import { Bar } from "../parts/TaskRow";
import { noteOf } from "../problems";
import { useModels, useTasks } from "../train/hooks";
import { useCheckWords } from "./checkWords";
import type { Outcome, Report } from "./report";

const QUANTIZATIONS = ["none", "8bit", "4bit"] as const;
type Quantization = (typeof QUANTIZATIONS)[number];
/** What a model must be rounded to where it fits in no other way. */
const neededBy = ({ kind, verdict }: Outcome): Quantization =>
  kind !== "answers" || !verdict ? "none" : verdict.dtype === "nf4" ? "4bit" : verdict.dtype === "int8" ? "8bit" : "none";

export function InstallPanel({ report, asked, outcome }: { report: Report; asked: string; outcome: Outcome }) {
  const known = useModels();
  const listed = useTasks({ kind: "install", limit: 50 });
  const start = useMutation({ mutationFn: (options: Record<string, unknown>) => models.install(asked, options), onSuccess: learn });
  const here = known.data?.find(({ id, name }) => id === report.model_id || id === asked || name === asked);
  const before = (listed.data?.items ?? []).filter(({ base_model: base }) => base === asked || base === report.model_id);
  // The list, which is live and has the newest first, does not have at once what has just been begun.
  const task = start.data && !before.some(({ id }) => id === start.data.id) ? start.data : before[0];
  if (task && !OVER.has(task.status)) return <Installing task={task} />;
  if (here && !here.troubles.length) return <Here model={here} />;
  if (!known.data) return <div className="border-t border-line p-4"><div aria-hidden className="skeleton h-9" /></div>;
  return (
    <div className="border-t border-line px-4 py-4 sm:px-5">
      {start.error && <div className="mb-3"><ErrorNote error={asErrorBody(start.error)} /></div>}
      {task?.error && !start.isPending && <div className="mb-3"><ErrorNote error={noteOf(task.error)} /></div>}
      <Options report={report} outcome={outcome} damaged={here} isPending={start.isPending} failed={task?.error ? task.id : null} onInstall={start.mutate} />
    </div>
  );
}

interface OptionsProps {
  report: Report;
  outcome: Outcome;
  /** The same model where it is here already, but cannot be used. */
  damaged: Model | undefined;
  isPending: boolean;
  /** The number of an installation that has failed. */
  failed: number | null;
  onInstall: (options: Record<string, unknown>) => void;
}

function Options({ report, outcome, damaged, isPending, failed, onInstall }: OptionsProps) {
  const t = useCheckWords();
  const [quantization, setQuantization] = useState(() => neededBy(outcome));
  const [trusts, setTrusts] = useState(false);
  const { disk, requirements } = report;
  const code = requirements.custom_code ?? [];
  const hasRoom = disk.total <= disk.free;
  // What is stored quantized already stays as it is.
  const canQuantize = !requirements.quantization && report.weight_form !== "gguf";
  const install = (): void => onInstall({ ...(quantization !== "none" && { quantization }), ...(trusts && { trust_remote_code: true }) });
  return (
    <div className="flex flex-col gap-3">
      {code.length > 0 && (
        <label className="flex max-w-prose items-start gap-2">
          <input type="checkbox" className="mt-0.5 size-4 shrink-0 accent-(--accent)" checked={trusts} onChange={(event) => setTrusts(event.target.checked)} />
          <span className="text-pretty [overflow-wrap:anywhere]">{t("install.trust", { files: code.join(", ") })}</span>
        </label>
      )}
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <Button kind="primary" icon={Download} disabled={isPending || !hasRoom || (code.length > 0 && !trusts)} onClick={install}>
          {t(failed !== null || damaged ? "install.again" : "install")}
        </Button>
        {canQuantize && (
          <select aria-label={t("install.quantization")} className={`${INPUT} w-auto!`} value={quantization} onChange={(event) => setQuantization(event.target.value as Quantization)}>
            {QUANTIZATIONS.map((one) => <option key={one} value={one}>{t(`install.${one}`)}</option>)}
          </select>
        )}
        <p className="min-w-0 flex-1 basis-56 text-pretty text-muted">
          {damaged ? t("install.damaged") : !hasRoom ? t("install.noRoom") : outcome.kind !== "fitsNot" ? t("install.takes", { size: formatBytes(disk.total) }) : t("install.fitsNot")}
          {failed !== null && <> <Link href={`/tasks/${failed}`} className={TEXT_LINK}>{t("install.log")}</Link></>}
        </p>
      </div>
    </div>
  );
}

function Installing({ task }: { task: Task }) {
  const t = useCheckWords();
  return (
    <div role="status" className="border-t border-line px-4 py-4 sm:px-5">
      <p className="flex items-center justify-between gap-3">
        <span className="font-medium">{t(task.status === "pending" ? "install.waits" : "install.underWay")}</span>
        <span className="text-muted tabular-nums">{formatNumber(task.progress)} %</span>
      </p>
      <Bar task={task} className="mt-2" />
      <p className="mt-2 flex justify-between gap-3">
        <span className="min-w-0 truncate text-muted" title={task.message}>{task.message}</span>
        <Link href={`/tasks/${task.id}`} className={`shrink-0 ${TEXT_LINK}`}>{t("install.log")}</Link>
      </p>
    </div>
  );
}

function Here({ model }: { model: Model }) {
  const t = useCheckWords();
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-2 border-t border-line px-4 py-4 sm:px-5">
      <Link href={`/train?model=${encodeURIComponent(model.id)}`} className={MAIN_LINK}><Hammer size={16} aria-hidden />{t("train")}</Link>
      <span className="inline-flex min-w-0 items-center gap-1.5 text-muted"><CircleCheck size={16} aria-hidden className="shrink-0 text-ok" />{t("install.here")}</span>
    </div>
  );
}

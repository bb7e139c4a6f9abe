/** Ways of running or training the model, each with its memory and where it fits; one at a time is taken apart. */
import { Check, ChevronRight, X } from "lucide-react";
import { Fragment, useId, useState } from "react";
import { formatBytes, formatNumber } from "~/shared/i18n";
import type { Verdict } from "../api";
import { Badge } from "../parts/Badge";
import { Card, NUMBER, TABLE, TD, TH } from "../parts/layout";
import { methodName } from "./adapters";
import { useCheckWords } from "./checkWords";
import { MemoryBar, PartsList } from "./MemoryParts";
import { dtypeName, freeOn, gpuOf, keyOf, type Report } from "./report";

interface TableProps {
  report: Report;
  kind: Verdict["kind"];
  /** Shown in full at first. */
  best: Verdict | null;
}

export function VerdictTable({ report, kind, best }: TableProps) {
  const t = useCheckWords();
  const [open, setOpen] = useState(best?.kind === kind ? keyOf(best) : "");
  const verdicts = report.verdicts.filter((one) => one.kind === kind);
  const scale = Math.max(...report.verdicts.map(({ memory }) => memory), 1);
  const { context, length, rank, batch } = report.memory ?? {};
  const basis = kind === "training"
    ? length && rank ? t("table.training.basis", { length, rank }) : ""
    : context && batch ? t("table.inference.basis", { context, batch }) : "";
  const title = t(kind === "training" ? "table.training" : "table.inference");
  if (!verdicts.length) return <Card title={title}><p className="text-pretty text-muted">{t("table.training.none")}</p></Card>;
  return (
    <Card title={title} aside={basis && <p className="text-xs text-muted">{basis}</p>} flush>
      <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={title}>
        <table className={TABLE}>
          <thead>
            <tr>
              <th scope="col" className={TH}>{t("col.way")}</th>
              <th scope="col" className={`${TH} text-right`}>{t("col.memory")}</th>
              <th scope="col" className={`${TH} w-2/5 min-w-32`}><span className="sr-only">{t("col.parts")}</span></th>
              <th scope="col" className={TH}>{t("col.fits")}</th>
              <th scope="col" className={`${TH} text-right`}>{t("col.batch")}</th>
              <th scope="col" className={`${TH} text-right`}>{t(kind === "training" ? "col.longest" : "col.context")}</th>
            </tr>
          </thead>
          <tbody>
            {verdicts.map((verdict) => (
              <Row key={keyOf(verdict)} verdict={verdict} report={report} scale={scale} isOpen={keyOf(verdict) === open} onToggle={() => setOpen(keyOf(verdict) === open ? "" : keyOf(verdict))} />
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

const CELL = `${TD} align-middle!`;

function Row({ verdict, report, scale, isOpen, onToggle }: { verdict: Verdict; report: Report; scale: number; isOpen: boolean; onToggle: () => void }) {
  const t = useCheckWords();
  const id = useId();
  const { memory, method, dtype, batch, longest, notes } = verdict;
  const name = [method === "full" ? t("method.full") : method && methodName(method), dtypeName(dtype)].filter(Boolean).join(" ");
  const free = freeOn(report, verdict.device);
  return (
    <Fragment>
      <tr className={isOpen ? "bg-raised/60 [&>td]:border-0" : "hover:bg-raised/60"}>
        <td className={`${CELL} py-1!`}>
          <button type="button" aria-expanded={isOpen} aria-controls={id} onClick={onToggle} className="-ml-1.5 flex min-h-9 w-full items-center gap-1.5 rounded-md px-1.5 text-left font-medium whitespace-nowrap">
            <ChevronRight size={16} aria-hidden className={`shrink-0 text-muted transition-transform ${isOpen ? "rotate-90" : ""}`} />
            {name}
          </button>
        </td>
        <td className={`${CELL} ${NUMBER} font-medium`}>{report.estimated ? t("about", { size: formatBytes(memory) }) : formatBytes(memory)}</td>
        <td className={CELL}><MemoryBar verdict={verdict} scale={scale} free={free} /></td>
        <td className={CELL}>
          <span className="flex items-center gap-1.5">
            {gpuOf(report) && <Fits name={t("gpu")} fits={verdict.fits_gpu} />}
            <Fits name={t("cpu")} fits={verdict.fits_cpu} />
            {notes && <span className="ml-1 text-xs whitespace-nowrap text-muted">{notes}</span>}
          </span>
        </td>
        <td className={`${CELL} ${NUMBER}`}>{batch ? formatNumber(batch) : "–"}</td>
        <td className={`${CELL} ${NUMBER}`}>{longest ? formatNumber(longest) : "–"}</td>
      </tr>
      {isOpen && (
        <tr id={id} className="bg-raised/60">
          <td colSpan={6} className={`${TD} pt-1! pb-4!`}>
            <div className="appear sticky left-4 max-w-[calc(100vw-4rem)] pl-5.5">
              <MemoryBar verdict={verdict} scale={memory} free={null} tall />
              <div className="mt-4"><PartsList verdict={verdict} /></div>
            </div>
          </td>
        </tr>
      )}
    </Fragment>
  );
}

function Fits({ name, fits }: { name: string; fits: boolean }) {
  const t = useCheckWords();
  return <Badge tone={fits ? "ok" : "plain"} icon={fits ? Check : X} title={t(fits ? "fits.on" : "fits.notOn", { device: name })}>{name}</Badge>;
}

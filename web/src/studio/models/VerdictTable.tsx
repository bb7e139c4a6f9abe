/** Ways of running or training the model, each with its memory and where it fits; one at a time is taken apart. */
import { Check, ChevronRight, X } from "lucide-react";
import { Fragment, useId, useState } from "react";
import { formatBytes, formatNumber } from "~/shared/i18n";
import type { Verdict } from "../api";
import { Badge } from "../parts/Badge";
import { Card, Facts, NUMBER, TABLE, TD, TH } from "../parts/layout";
import { methodName } from "./adapters";
import { isNote, useCheckWords } from "./checkWords";
import { MARK, MemoryBar, PartsList } from "./MemoryParts";
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
  const scale = scaleOf(report);
  const isMarked = verdicts.some(({ device }) => (freeOn(report, device) ?? scale) < scale);
  const { context, length, rank, batch } = report.memory ?? {};
  const basis = kind === "training"
    ? length && rank ? t("table.training.basis", { length, rank }) : ""
    : context && batch ? t("table.inference.basis", { context, batch }) : "";
  const title = t(kind === "training" ? "table.training" : "table.inference");
  if (!verdicts.length) return <Card title={title}><p className="text-pretty text-muted">{t("table.training.none")}</p></Card>;
  return (
    <Card title={title} aside={basis && <p className="text-xs text-muted">{basis}</p>} flush>
      <div className="overflow-x-auto">
        <table className={`${TABLE} lg:table-fixed`}>
          <thead>
            <tr>
              <th scope="col" className={`${TH} lg:w-52`}>{t("col.way")}</th>
              <th scope="col" className={`${TH} text-right lg:w-32`}>{t("col.memory")}</th>
              <th scope="col" className={`${TH} ${WIDE}`}>
                {isMarked ? <span className="inline-flex items-center gap-1.5"><span aria-hidden className={`h-3 ${MARK}`} />{t("col.free")}</span> : t("col.parts")}
              </th>
              <th scope="col" className={`${TH} ${gpuOf(report) ? "lg:w-44" : "lg:w-24"}`}>{t("col.fits")}</th>
              <th scope="col" className={`${TH} ${WIDE} w-32 text-right`}>{t("col.batch")}</th>
              <th scope="col" className={`${TH} ${WIDE} w-36 text-right`}>{t(longestWord(kind))}</th>
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

/** Full fine-tuning takes so much that beside it all else would look alike. */
const scaleOf = ({ verdicts }: Report): number => Math.max(...(verdicts.some(({ method }) => method !== "full") ? verdicts.filter(({ method }) => method !== "full") : verdicts).map(({ memory }) => memory), 1);

const CELL = `${TD} align-middle!`;
/** On a small screen these stand in the part that unfolds. */
const WIDE = "max-lg:hidden";
const longestWord = (kind: Verdict["kind"]) => (kind === "training" ? "col.longest" : "col.context");

function Row({ verdict, report, scale, isOpen, onToggle }: { verdict: Verdict; report: Report; scale: number; isOpen: boolean; onToggle: () => void }) {
  const t = useCheckWords();
  const id = useId();
  const { kind, memory, method, dtype, batch, longest, notes } = verdict;
  const name = [method === "full" ? t("method.full.title") : method && methodName(method), dtypeName(dtype)].filter(Boolean).join(" ");
  const remark = notes && <p className="mt-1.5 text-xs text-muted">{isNote(notes) ? t(`note.${notes}`) : notes}</p>;
  const most = batch ? formatNumber(batch) : "–";
  const furthest = longest ? formatNumber(longest) : "–";
  return (
    <Fragment>
      <tr className={isOpen ? "bg-raised/60 [&>td]:border-0" : "hover:bg-raised/60"}>
        <td className={`${CELL} py-1!`}>
          <button type="button" aria-expanded={isOpen} aria-controls={id} onClick={onToggle} className="-ml-1.5 flex min-h-9 w-full items-center gap-1.5 rounded-md px-1.5 text-left font-medium lg:whitespace-nowrap">
            <ChevronRight size={16} aria-hidden className={`shrink-0 text-muted transition-transform ${isOpen ? "rotate-90" : ""}`} />
            {name}
          </button>
        </td>
        <td className={`${CELL} ${NUMBER} font-medium`}>{report.estimated ? t("about", { size: formatBytes(memory) }) : formatBytes(memory)}</td>
        <td className={`${CELL} ${WIDE}`}><MemoryBar verdict={verdict} scale={scale} free={freeOn(report, verdict.device)} />{remark}</td>
        <td className={CELL}>
          <span className="flex flex-wrap gap-1.5">
            {gpuOf(report) && <Fits name={t("gpu")} fits={verdict.fits_gpu} />}
            <Fits name={t("cpu")} fits={verdict.fits_cpu} />
          </span>
        </td>
        <td className={`${CELL} ${NUMBER} ${WIDE}`}>{most}</td>
        <td className={`${CELL} ${NUMBER} ${WIDE}`}>{furthest}</td>
      </tr>
      {isOpen && (
        <tr id={id} className="bg-raised/60">
          <td colSpan={6} className={`${TD} pt-1! pb-4!`}>
            <div className="appear lg:pl-5.5">
              <div className="mb-4 lg:hidden">
                <Facts facts={[[t("col.batch"), most], [t(longestWord(kind)), furthest]]} />
                {remark}
              </div>
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

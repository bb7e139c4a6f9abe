/** What an export came to: where it lies, and whether it is still the model that was trained. */
import { CircleCheck, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { formatBytes, formatNumber } from "~/shared/i18n";
import { Fold } from "~/shared/components/Fold";
import type { ExportResult, Parity, Task } from "../api";
import { useAdapterWords } from "../adapters/words";
import { Card, Facts } from "../parts/layout";

export const exportOf = (task: Task): ExportResult | null => (task.kind === "export" && typeof task.measured.place === "string" ? (task.measured as unknown as ExportResult) : null);

/** Whether it is still the same model. */
export function Compared({ result: { parity, notes } }: { result: ExportResult }) {
  const t = useAdapterWords();
  if (parity?.rows.length) return <ParityCard parity={parity} />;
  return <Card title={t("parity")}><p className="text-muted">{notes[0] ?? t("parity.none")}</p></Card>;
}

/** What was written. */
export function Written({ result: { place, files, notes, parity, bytes_before: before } }: { result: ExportResult }) {
  const t = useAdapterWords();
  const all = Object.entries(files);
  const facts: [string, ReactNode][] = [[t("place"), <code className="font-mono text-xs break-all">{place}</code>]];
  if (all.length) facts.push([t("size"), `${formatBytes(before)} → ${formatBytes(all.reduce((sum, [, bytes]) => sum + bytes, 0))}`]);
  return (
    <div className="mt-1.5">
      <Facts facts={facts} />
      {parity && notes.map((note) => <p key={note} className="mt-3 text-pretty text-muted">{note}</p>)}
      {all.length > 0 && (
        <div className="mt-3">
          <Fold title={`${t("files")}: ${all.length}`}>
            <Facts facts={all.map(([name, bytes]) => [name, formatBytes(bytes)])} />
          </Fold>
        </div>
      )}
    </div>
  );
}

const figure = (value: number, isShare: boolean): string => (isShare ? `${formatNumber(100 * value, 1)} %` : formatNumber(value, 3));

function ParityCard({ parity: { rows, form, limit, reader, is_equal: isEqual, scores } }: { parity: Parity }) {
  const t = useAdapterWords();
  const total = rows.length;
  const ids = rows.filter((row) => row.same_ids).length;
  const answers = rows.filter((row) => row.same_answer).length;
  const distance = Math.max(...rows.map((row) => row.distance));
  const other = rows.filter((row) => !row.same_ids || !row.same_answer);
  const Icon = isEqual ? CircleCheck : TriangleAlert;
  return (
    <Card title={t("parity")}>
      <p className={`mb-3 flex items-center gap-2 font-medium ${isEqual ? "text-ok" : "text-warn"}`}><Icon size={18} aria-hidden className="shrink-0" />{t(isEqual ? "parity.yes" : "parity.no")}</p>
      <Facts
        facts={[
          [t("parity.ids"), t("parity.of", { n: ids, total })],
          [t("parity.answers"), t("parity.of", { n: answers, total })],
          [t("parity.distance"), t("parity.limit", { value: formatNumber(distance, 4), limit: String(limit) })],
          ...scores.map((one): [string, ReactNode] => [one.title, `${figure(one.trained, one.is_share)} → ${figure(one.exported, one.is_share)}`]),
          [t("form"), form],
          [t("parity.reader"), reader],
        ]}
      />
      {other.length > 0 && (
        <div className="mt-3">
          <Fold title={`${t("parity.differ")}: ${other.length}`}>
            <ul className="divide-y divide-line">
              {other.map((row, index) => (
                <li key={index} className="py-2">
                  <p className="font-mono text-xs break-words whitespace-pre-wrap">{row.prompt}</p>
                  <p className="mt-1 text-xs text-muted">{row.difference}</p>
                </li>
              ))}
            </ul>
          </Fold>
        </div>
      )}
    </Card>
  );
}

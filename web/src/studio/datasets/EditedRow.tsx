/** A row whose fields are being changed. */
import { RotateCcw, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import { IconButton } from "~/shared/components/Button";
import { useT } from "~/shared/i18n";
import type { Row } from "../api";
import { TD } from "../parts/layout";
import { asText, type Fields } from "./RowTable";
import { useDatasetWords } from "./words";

interface EditedRowProps {
  row: Row;
  columns: string[];
  /** As it is to be; null: left out; undefined: as it was. */
  fields: Fields | null | undefined;
  isNew?: boolean;
  onChange: (fields: Fields | null | undefined) => void;
  onBroken: (key: string, isBroken: boolean) => void;
}

export function EditedRow({ row, columns, fields, isNew, onChange, onBroken }: EditedRowProps) {
  const t = useDatasetWords();
  const shared = useT();
  const isOut = fields === null;
  const values = fields ?? row.row;
  return (
    <tr className={isOut ? "bg-bad-soft" : fields ? "bg-accent-soft" : ""}>
      <td className={`${TD} w-20 text-muted tabular-nums`}>
        {!isNew && <span className="block">{row.line}</span>}
        <span className="flex">
          <IconButton label={isOut ? t("edit.keep") : t("edit.leave")} icon={isOut ? RotateCcw : Trash2} onClick={() => onChange(isOut ? undefined : isNew ? undefined : null)} />
          {fields && !isNew && <IconButton label={shared("undo")} icon={RotateCcw} onClick={() => onChange(undefined)} />}
        </span>
      </td>
      {columns.map((name) => (
        <td key={name} className={`${TD} max-w-md min-w-56`}>
          {isOut
            ? <span className="break-words whitespace-pre-wrap line-through">{asText(values[name]).slice(0, 200)}</span>
            : <FieldBox key={String(fields === undefined)} label={name} value={values[name]} isJson={typeof row.row[name] === "object" && row.row[name] !== null} onChange={(value) => onChange({ ...values, [name]: value })} onBroken={onBroken} />}
        </td>
      ))}
    </tr>
  );
}

interface FieldBoxProps {
  label: string;
  value: unknown;
  isJson: boolean;
  onChange: (value: unknown) => void;
  onBroken: (key: string, isBroken: boolean) => void;
}

function FieldBox({ label, value, isJson, onChange, onBroken }: FieldBoxProps) {
  const t = useDatasetWords();
  const id = useId();
  const [text, setText] = useState(asText(value));
  const [problem, setProblem] = useState("");
  const take = (typed: string): void => {
    setText(typed);
    if (!isJson) return onChange(typed);
    try {
      onChange(JSON.parse(typed));
      setProblem("");
      onBroken(id, false);
    } catch (error) {
      setProblem(t("edit.json", { why: (error as Error).message }));
      onBroken(id, true);
    }
  };
  return (
    <>
      <textarea
        aria-label={label}
        aria-invalid={Boolean(problem)}
        aria-describedby={problem ? id : undefined}
        rows={Math.min(10, Math.max(2, text.split("\n").length))}
        className={`w-full rounded-md border border-line bg-page px-2 py-1 focus:border-accent focus:outline-none aria-invalid:border-bad ${isJson ? "font-mono text-xs" : ""}`}
        value={text}
        onChange={(event) => take(event.target.value)}
      />
      {problem && <p id={id} role="alert" className="text-xs text-bad">{problem}</p>}
    </>
  );
}

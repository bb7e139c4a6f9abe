/** One parameter as a control. Left alone it is automatic; what is chosen is the reader's own until it is reset. */
import { useState } from "react";
import { Switch } from "~/shared/components/SchemaForm";
import type { Field } from "~/shared/schema";
import { INPUT } from "../parts/layout";
import { useTrainWords } from "./words";

export interface EditorProps {
  id: string;
  field: Field;
  label: string;
  /** What the reader chose. */
  value: unknown;
  /** What is used otherwise. */
  own: unknown;
  onChange: (value: unknown) => void;
}

const shown = (value: unknown): string => (value === undefined || value === null ? "" : Array.isArray(value) ? value.join(", ") : String(value));

export function Editor({ id, field, label, value, own, onChange }: EditorProps) {
  const t = useTrainWords();
  const fallback = own ?? field.initial;
  const automatic = shown(fallback) || t("advanced.auto");
  if (field.kind === "switch") {
    const initial = Boolean(field.initial);
    // The spec knows no "not given" for these: what is as it was is not the reader's.
    return (
      <label htmlFor={id} className="-my-2 inline-flex h-9 items-center">
        <Switch id={id} label={label} on={Boolean(value ?? fallback)} onChange={(on) => onChange(on === initial ? undefined : on)} />
      </label>
    );
  }
  if (field.kind === "choice") {
    const isNamed = field.choices.includes(shown(fallback));
    return (
      <select id={id} className={`${INPUT} px-2!`} value={shown(value ?? fallback)} onChange={(event) => onChange(event.target.value || undefined)}>
        {!isNamed && <option value="">{t("advanced.auto")}</option>}
        {field.choices.map((choice) => <option key={choice}>{choice}</option>)}
      </select>
    );
  }
  if (field.kind === "number") return <NumberInput id={id} isWhole={field.integer} value={value} placeholder={automatic} onChange={onChange} />;
  if (field.kind === "list") {
    return (
      <textarea
        id={id}
        rows={2}
        spellCheck={false}
        className={`${INPUT} h-auto! py-2`}
        placeholder={automatic}
        value={Array.isArray(value) ? value.join("\n") : ""}
        onChange={(event) => onChange(event.target.value ? event.target.value.split("\n") : undefined)}
      />
    );
  }
  return (
    <input
      id={id}
      spellCheck={false}
      autoComplete="off"
      className={INPUT}
      placeholder={automatic}
      value={shown(value)}
      onChange={(event) => onChange(event.target.value || undefined)}
    />
  );
}

interface NumberProps {
  id: string;
  isWhole: boolean;
  value: unknown;
  placeholder: string;
  onChange: (value: unknown) => void;
}

/** What is half typed, such as "3e-", is kept while the reader is there, and is no value yet. */
function NumberInput({ id, isWhole, value, placeholder, onChange }: NumberProps) {
  const t = useTrainWords();
  const [typed, setTyped] = useState<string | null>(null);
  const text = typed ?? shown(value);
  const number = Number(text.replace(",", "."));
  const isWrong = text.trim() !== "" && (!Number.isFinite(number) || (isWhole && !Number.isInteger(number)));
  const onType = (next: string): void => {
    setTyped(next);
    const parsed = Number(next.replace(",", "."));
    if (!next.trim()) onChange(undefined);
    else if (Number.isFinite(parsed) && (!isWhole || Number.isInteger(parsed))) onChange(parsed);
  };
  return (
    <>
      <input
        id={id}
        inputMode="decimal"
        autoComplete="off"
        className={`${INPUT} tabular-nums`}
        aria-invalid={isWrong}
        aria-describedby={isWrong ? `${id}-wrong` : undefined}
        placeholder={placeholder}
        value={text}
        onChange={(event) => onType(event.target.value)}
        onBlur={() => setTyped(null)}
      />
      {isWrong && <p id={`${id}-wrong`} role="alert" className="mt-1 text-xs text-bad">{t(isWhole ? "advanced.whole" : "advanced.number")}</p>}
    </>
  );
}

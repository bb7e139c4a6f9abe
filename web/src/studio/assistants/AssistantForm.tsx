/** Making an assistant, or changing one. */
import { useState } from "react";
import type { AssistantAsked } from "../api";
import { FormDialog } from "../parts/FormDialog";
import { INPUT, Labelled } from "../parts/layout";
import { useStudioWords } from "../words";
import { BaseAndAdapter } from "./BaseAndAdapter";
import { askedOf, type Draft, draftOf, isInRange, LONGEST_NAME, nameProblem, NUMBERS, RANGES } from "./draft";
import { useAssistantWords } from "./words";

interface FormProps {
  title: string;
  initial: Partial<AssistantAsked>;
  /** What saving leads to. */
  note?: string;
  /** Names that others have. */
  taken: string[];
  isPending: boolean;
  error: Error | null;
  onSave: (asked: AssistantAsked) => void;
  onClose: () => void;
}

export function AssistantForm({ title, initial, note, taken, isPending, error, onSave, onClose }: FormProps) {
  const t = useAssistantWords();
  const studio = useStudioWords();
  const [draft, setDraft] = useState<Draft>(() => draftOf(initial));
  const [isTried, setTried] = useState(false);
  const change = (changes: Partial<Draft>): void => setDraft((before) => ({ ...before, ...changes }));
  const wrongName = nameProblem(draft.name, taken);
  const wrongNumbers = NUMBERS.filter((name) => !isInRange(name, draft[name]));
  const submit = (): void => {
    setTried(true);
    if (!wrongName && draft.base_model && !wrongNumbers.length) onSave(askedOf(draft, initial.sampling));
  };
  // A name that is taken is said at once, an empty one not before it was tried to save.
  const saidName = wrongName && (isTried || wrongName !== "missing") ? t(`name.${wrongName}`) : undefined;
  return (
    <FormDialog title={title} action={studio("save")} isPending={isPending} error={error} onSubmit={submit} onClose={onClose}>
      <Labelled id="assistant-name" label={studio("name")} hint={t("name.hint")} problem={saidName}>
        <input id="assistant-name" autoFocus autoComplete="off" maxLength={LONGEST_NAME} aria-invalid={saidName !== undefined} className={INPUT} value={draft.name} onChange={(event) => change({ name: event.target.value })} />
      </Labelled>
      <BaseAndAdapter base={draft.base_model} adapter={draft.adapter} isTried={isTried} onChange={change} />
      <Labelled id="assistant-prompt" label={t("prompt")} hint={t("prompt.hint")}>
        <textarea id="assistant-prompt" rows={4} className={`${INPUT} h-auto! resize-y py-2`} value={draft.system_prompt} onChange={(event) => change({ system_prompt: event.target.value })} />
      </Labelled>
      <fieldset>
        <legend className="mb-1 font-medium">{t("sampling")}</legend>
        <div className="grid grid-cols-3 gap-3">
          {NUMBERS.map((name) => (
            <div key={name} className="flex flex-col justify-end">
              <label htmlFor={`assistant-${name}`} className="mb-1 block text-xs text-muted">{t(`sampling.${name}`)}</label>
              <input
                id={`assistant-${name}`}
                type="number"
                inputMode="decimal"
                {...{ min: RANGES[name].min, max: RANGES[name].max, step: RANGES[name].step }}
                aria-invalid={wrongNumbers.includes(name)}
                aria-describedby="sampling-hint"
                placeholder={t("sampling.auto")}
                className={`${INPUT} tabular-nums`}
                value={draft[name]}
                onChange={(event) => change({ [name]: event.target.value })}
              />
            </div>
          ))}
        </div>
        {wrongNumbers.length
          ? <p role="alert" className="mt-1 text-xs text-bad">{wrongNumbers.map((name) => t(`sampling.${name}.range`)).join(" ")}</p>
          : <p id="sampling-hint" className="mt-1 text-xs text-pretty text-muted">{t("sampling.hint")}</p>}
      </fieldset>
      {note && <p className="text-xs text-pretty text-muted">{note}</p>}
    </FormDialog>
  );
}

/** What an adapter is to be called: a name that nobody has yet. */
import { INPUT, Labelled } from "../parts/layout";
import { useAdapters } from "../train/hooks";
import { useStudioWords } from "../words";
import { canBeName } from "./names";
import { useAdapterWords } from "./words";

/** Whether a name can be given, and what is wrong with it where it cannot. */
export function useNameProblem(name: string, own = ""): string | undefined {
  const t = useAdapterWords();
  const { data } = useAdapters();
  if (name === "" || name === own) return undefined;
  if (!canBeName(name)) return t("name.wrong");
  return data?.some((one) => one.name === name) ? t("name.taken") : undefined;
}

export function NameField({ value, problem, placeholder, onChange }: { value: string; problem: string | undefined; placeholder?: string; onChange: (value: string) => void }) {
  const studio = useStudioWords();
  return (
    <Labelled id="adapter-name" label={studio("name")} problem={problem}>
      <input
        id="adapter-name"
        autoFocus
        autoComplete="off"
        spellCheck={false}
        maxLength={120}
        aria-invalid={problem !== undefined}
        placeholder={placeholder}
        className={INPUT}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </Labelled>
  );
}

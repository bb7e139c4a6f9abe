/** An assistant as it is typed, and as it is asked for. */
import type { AssistantAsked } from "../api";

export interface Draft {
  name: string;
  base_model: string;
  adapter: string;
  system_prompt: string;
  temperature: string;
  top_p: string;
  max_tokens: string;
}
export const NUMBERS = ["temperature", "top_p", "max_tokens"] as const;
export type NumberName = (typeof NUMBERS)[number];

export const LONGEST_NAME = 100;
export const RANGES: Record<NumberName, { min: number; max?: number; step: number; whole?: boolean }> = {
  temperature: { min: 0, max: 2, step: 0.1 },
  top_p: { min: 0.01, max: 1, step: 0.05 },
  max_tokens: { min: 1, step: 1, whole: true },
};

const shown = (value: number | undefined): string => (value === undefined ? "" : String(value));
export const draftOf = ({ name = "", base_model = "", adapter = "", system_prompt = "", sampling = {} }: Partial<AssistantAsked>): Draft => ({
  name, base_model, adapter, system_prompt, temperature: shown(sampling.temperature), top_p: shown(sampling.top_p), max_tokens: shown(sampling.max_tokens),
});

export type NameProblem = "missing" | "long" | "sign" | "taken";
export function nameProblem(name: string, taken: string[]): NameProblem | null {
  const wanted = name.trim();
  if (!wanted) return "missing";
  if (wanted.length > LONGEST_NAME) return "long";
  if (wanted.includes("/")) return "sign";
  return taken.includes(wanted) ? "taken" : null;
}

/** Empty is right: the model's own value holds. */
export function isInRange(name: NumberName, text: string): boolean {
  if (!text.trim()) return true;
  const { min, max = Infinity, whole } = RANGES[name];
  const value = Number(text);
  return Number.isFinite(value) && value >= min && value <= max && (!whole || Number.isInteger(value));
}

/** Sampling that the form does not show stays as it was. */
export function askedOf(draft: Draft, before: Record<string, number> = {}): AssistantAsked {
  const sampling = { ...before };
  for (const name of NUMBERS) {
    if (draft[name].trim()) sampling[name] = Number(draft[name]);
    else delete sampling[name];
  }
  return { name: draft.name.trim(), base_model: draft.base_model, adapter: draft.adapter, system_prompt: draft.system_prompt, sampling };
}

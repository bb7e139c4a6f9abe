/** Adapters by their base, and their figures side by side. */
import { humanised } from "~/shared/schema";
import type { Adapter, Model } from "../api";

const NAMES: Record<string, string> = { lora: "LoRA", qlora: "QLoRA", dora: "DoRA", rslora: "rsLoRA", pissa: "PiSSA", loftq: "LoftQ", full: "Full" };
export const methodName = (method: string): string => NAMES[method.toLowerCase()] ?? humanised(method);

export const isOf = ({ base_model: base }: Adapter, { id, name }: Model): boolean => base === id || base === name;

export interface Orphans {
  base: string;
  adapters: Adapter[];
}

/** Adapters whose base is not here, by that base. */
export function orphansOf(adapters: Adapter[], models: Model[]): Orphans[] {
  const lost = adapters.filter((adapter) => !models.some((model) => isOf(adapter, model)));
  return [...new Set(lost.map(({ base_model: base }) => base))].map((base) => ({ base, adapters: lost.filter(({ base_model: one }) => one === base) }));
}

/** The figure that says most about an adapter, for where there is room for one. */
export const mainScore = ({ scores }: Adapter): string | undefined =>
  ["best_val_loss", "val_loss"].find((name) => name in scores) ?? Object.keys(scores).find((name) => name !== "train_loss") ?? Object.keys(scores)[0];

const FALLS = /loss|perplexity|error|wer$|cer$/;
/** Which of two figures is the better one: 0, 1, or null where they are equal or one is missing. */
export function better(name: string, first: number | undefined, second: number | undefined): 0 | 1 | null {
  if (first === undefined || second === undefined || first === second) return null;
  return first < second === FALLS.test(name) ? 0 : 1;
}

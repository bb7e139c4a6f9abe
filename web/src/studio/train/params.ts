/** A plan's parameters as the page shows them. */
import { formatNumber } from "~/shared/i18n";
import type { Parameter } from "../api";

/** The field of the spec that asks for it; of `packing` the contrary is asked. */
export const fieldFor = ({ name, option }: Parameter): string => option || (isInverse(name) ? "no_packing" : name);
export const isInverse = (name: string): boolean => name === "packing";

/** Those that say most about a training; the others are a click away. */
const MAIN = ["method", "rank", "learning_rate", "epochs", "micro_batch", "max_length"];
export const isMain = (name: string): boolean => MAIN.includes(name);
const placeOf = (name: string): number => (isMain(name) ? MAIN.indexOf(name) : MAIN.length);
export const inOrder = <T extends { name: string }>(parameters: readonly T[]): T[] => [...parameters].sort((a, b) => placeOf(a.name) - placeOf(b.name));

/** A number as short as it can be: 32, 0.05, 4.6e-4. */
export function formatValue(value: unknown, words: { yes: string; no: string }): string {
  if (typeof value === "boolean") return value ? words.yes : words.no;
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return formatNumber(value);
  if (Math.abs(value) < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e");
  const digits = Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value))));
  return formatNumber(value, Math.min(digits, (String(value).split(".")[1] ?? "").length));
}

export const formatLoss = (loss: number): string => (loss !== 0 && Math.abs(loss) < 0.01 ? loss.toExponential(1) : formatNumber(loss, loss < 10 ? 3 : 1));

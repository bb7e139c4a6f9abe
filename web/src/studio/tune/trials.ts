/** What tables and plots read from trials. */
import { formatNumber } from "~/shared/i18n";
import type { Trial } from "../api";

/** The loss of the furthest that it has come to. */
export function lastLoss({ losses }: Trial): number | undefined {
  const furthest = Math.max(-1, ...Object.keys(losses).map(Number));
  return losses[String(furthest)];
}

export function formatParam(value: unknown): string {
  if (typeof value !== "number") return String(value);
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : formatNumber(value, Number.isInteger(value) ? 0 : Math.min(4, String(value).split(".")[1]?.length ?? 0));
}

/** Whether a model can be trained here, out of the check's verdicts. */
import type { Check, Verdict } from "../api";

export interface Fit {
  kind: "fits" | "fits4" | "fitsNot" | "unknown";
  memory: number;
  /** Of the device that it would run on. */
  free: number | null;
}

const runs = ({ device }: Verdict): boolean => device === "cuda" || device === "cpu";
const byNeed = (a: Verdict, b: Verdict): number => Number(b.device === "cuda") - Number(a.device === "cuda") || a.memory - b.memory;

function freeOn(device: Verdict["device"], { gpus, ram_free_bytes: ram }: Check["hardware"]): number | null {
  const gpu = Array.isArray(gpus) ? (gpus[0] as { free_bytes?: number } | undefined)?.free_bytes : undefined;
  return (device === "cuda" ? gpu : typeof ram === "number" ? ram : undefined) ?? null;
}

export function fitOf(check: Check): Fit {
  const trainings = check.verdicts.filter(({ kind }) => kind === "training");
  const found = (method: string): Verdict | undefined => trainings.filter((one) => one.method === method && runs(one)).sort(byNeed)[0];
  const of = (kind: Fit["kind"], { memory, device }: Verdict): Fit => ({ kind, memory, free: freeOn(device, check.hardware) });
  const [plain, quantized] = [found("lora"), found("qlora")];
  if (plain) return of("fits", plain);
  if (quantized) return of("fits4", quantized);
  const least = trainings.sort((a, b) => a.memory - b.memory)[0];
  return least ? of("fitsNot", least) : { kind: "unknown", memory: 0, free: null };
}

/** A check as its page reads it: what the API leaves open has names here, and the one verdict that stands first. */
import type { Check, Verdict } from "../api";

export interface Requirement {
  package: string;
  note?: string;
  /** `kernels`: compiled for CUDA; `special`: needed and hard to install. */
  kind?: "ordinary" | "kernels" | "special" | "optional";
}

interface Gpu {
  name: string;
  kind?: string;
  memory_bytes: number;
  free_bytes: number;
}

export type Report = Omit<Check, "parameters" | "capabilities" | "requirements" | "safety" | "hardware"> & {
  architecture_type?: string;
  adapter_of?: string;
  parameters: { total?: number; active?: number; by_dtype?: Record<string, number> };
  capabilities: {
    inputs?: string[];
    outputs?: string[];
    chat_template?: boolean;
    system_prompt?: boolean;
    tool_calls?: boolean;
    reasoning?: boolean;
    streaming?: boolean;
    max_context?: number | null;
    template_trouble?: string;
  };
  requirements: {
    base?: Requirement[];
    specific?: Requirement[];
    optional?: Requirement[];
    formats?: string[];
    quantization?: string;
    custom_code?: string[];
  };
  safety: { level: string; what: string; where?: string; fix?: string }[];
  hardware: {
    cpu?: string;
    num_cores?: number;
    ram_bytes?: number;
    ram_free_bytes?: number;
    instruction_sets?: string[];
    gpus?: Gpu[];
    gpu_trouble?: string;
  };
  memory?: { context?: number; batch?: number; length?: number; rank?: number };
};

export const reportOf = (check: Check): Report => check as Report;

/** The one that torch would take; an Apple GPU is listed and not used. */
export const gpuOf = ({ hardware }: Report): Gpu | undefined => hardware.gpus?.find(({ kind }) => kind !== "mps");

export interface Outcome {
  kind: "trains" | "answers" | "fitsNot" | "unknown";
  verdict: Verdict | null;
  /** On the device of the verdict. */
  free: number | null;
}

const DEVICES: Verdict["device"][] = ["cuda", "cpu", "split", "none"];
const METHODS = ["lora", "qlora", "full"];
/** Of training the smallest is taken; of answering the least rounded that fits. */
const FINEST = ["bfloat16", "int8", "nf4", "float32"];
const byChoice = (a: Verdict, b: Verdict): number =>
  DEVICES.indexOf(a.device) - DEVICES.indexOf(b.device) || METHODS.indexOf(a.method) - METHODS.indexOf(b.method) ||
  (a.kind === "inference" ? FINEST.indexOf(a.dtype) - FINEST.indexOf(b.dtype) : a.memory - b.memory);

export function freeOn(report: Report, device: Verdict["device"]): number | null {
  const gpu = gpuOf(report)?.free_bytes;
  const ram = report.hardware.ram_free_bytes;
  if (device === "cuda") return gpu ?? null;
  if (ram === undefined) return null;
  return device === "split" ? ram + (gpu ?? 0) : ram;
}

/** What to say first: that it trains here, or else answers here, or what is the least that it lacks. */
export function outcomeOf(report: Report): Outcome {
  const of = (kind: Outcome["kind"], verdict: Verdict): Outcome => ({ kind, verdict, free: freeOn(report, verdict.device) });
  const best = (kind: Verdict["kind"]): Verdict | undefined => report.verdicts.filter((one) => one.kind === kind && one.device !== "none").sort(byChoice)[0];
  const [trains, answers] = [best("training"), best("inference")];
  if (trains) return of("trains", trains);
  if (answers) return of("answers", answers);
  const least = leastOf(report, "inference") ?? leastOf(report, "training");
  return least ? of("fitsNot", least) : { kind: "unknown", verdict: null, free: null };
}

export const leastOf = ({ verdicts }: Report, kind: Verdict["kind"]): Verdict | undefined =>
  verdicts.filter((one) => one.kind === kind).sort((a, b) => a.memory - b.memory)[0];

const DTYPES: Record<string, string> = { float32: "fp32", bfloat16: "bf16", float16: "fp16", nf4: "int4 (nf4)" };
export const dtypeName = (dtype: string): string => DTYPES[dtype] ?? dtype;

export const keyOf = ({ kind, method, dtype }: Verdict): string => `${kind} ${method} ${dtype}`;

/** "596M", "30.5B": as models are named by. */
export const compact = (count: number): string =>
  new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(count);

/** The studio's API as the server has it: shapes and calls. */
import { api, request } from "~/shared/api/http";
import type { Schema } from "~/shared/api/types";

export type Status = "pending" | "running" | "completed" | "failed" | "stopped" | "interrupted";
export type TaskKind = "train" | "tune" | "evaluate" | "export" | "install" | "serve";
export const OVER: ReadonlySet<Status> = new Set(["completed", "failed", "stopped", "interrupted"]);

/** What went wrong: what, why, what to do. */
export interface Problem {
  what: string;
  why?: string;
  fix?: string;
  kind?: string;
}

export interface Task {
  id: number;
  task_name: string;
  kind: TaskKind;
  project: number | null;
  base_model: string;
  dataset: number | null;
  dataset_file: string;
  dataset_type: string;
  output_path: string;
  training_params: Record<string, unknown>;
  status: Status;
  /** Of a hundred. */
  progress: number;
  current_epoch: number | null;
  message: string;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  /** train: `peak_bytes`, `steps`, `epochs`; serve: `url`. */
  predicted: Record<string, unknown>;
  /** The newest figures while it runs (`step`, `loss`, `val_loss`, `seconds_left`, `memory_bytes`); its result afterwards. */
  measured: Record<string, unknown>;
  error: Problem | null;
  parent: number | null;
  runner: string;
  host: string;
  heartbeat: string | null;
  priority: number;
}

export interface TaskPage {
  items: Task[];
  total: number;
}

export interface Finding {
  code: string;
  level: "fatal" | "warning" | "note";
  what: string;
  fix: string;
  count: number;
  places: string[];
}

/** What an inspection found. Lengths are in `unit`: tokens or characters. */
export interface DatasetFacts {
  fields: string[];
  unit: string;
  num_rows: number;
  num_bad_rows: number;
  bad_rows: [number, string][];
  num_turns: number;
  num_empty_answers: number;
  copies: { count: number };
  near_copies: { count: number };
  conflicts: { count: number };
  languages: Record<string, number>;
  length_p50: number;
  length_p95: number;
  length_p995: number;
  length_max: number;
  /** `[upper edge, rows]` of equal bins. */
  histogram: [number, number][];
  num_tokens: number;
  num_supervised_tokens: number;
  max_length: number;
  num_truncated: number;
  findings: Finding[];
}

export interface Dataset {
  id: number;
  name: string;
  version: number;
  parent: number | null;
  project: number | null;
  format: string;
  num_rows: number;
  num_bytes: number;
  sha256: string;
  facts: Partial<DatasetFacts>;
  error: Problem | null;
  created_at: string;
  /** Whether it is known what it holds: of a large file and of an archive only a while after its upload. */
  is_read: boolean;
  /** What an archive was unpacked to. Its rows cannot be edited. */
  is_folder: boolean;
}

export interface Row {
  line: number;
  row: Record<string, unknown>;
  problem: string;
  /** Of a folder, the file that it stands in or is. */
  file: string;
  /** Of a folder, the pictures and recordings that its columns name. */
  media: Record<string, string[]>;
}

/** A row as a model reads it: pieces of text, and which of them are learnt. */
export interface SeenRow {
  line: number;
  pieces: { text: string; learnt: boolean }[];
  num_tokens: number;
  num_learnt: number;
  is_cut: boolean;
  problem: string;
  media: string[];
}

export interface Model {
  /** What a training is asked for by. */
  id: string;
  name: string;
  family: string;
  quantization: string;
  num_bytes: number;
  adapters: string[];
  troubles: string[];
}

/** A model on the Hub. */
export interface HubModel {
  id: string;
  downloads: number;
  likes: number;
  task: string;
  gated: boolean;
}

export interface Parameter {
  name: string;
  /** By which a training is asked for it; empty where it is not. */
  option: string;
  value: unknown;
  reason: string;
  /** Whether the user chose it. */
  is_given: boolean;
}

/** What a training would be. */
export interface Plan {
  parameters: Parameter[];
  predicted_peak_bytes: number;
  /** What is free for it. */
  free_bytes: number;
  device: string;
  steps: number;
  epochs: number;
  effective_batch: number;
  train_rows: number;
  eval_rows: number;
  /** As trainings of this model took on this machine before; null where none has been. */
  seconds: number | null;
  warnings: string[];
}

export interface Verdict {
  kind: "inference" | "training";
  method: string;
  dtype: string;
  memory: number;
  parts: Record<string, number>;
  fits_gpu: boolean;
  fits_cpu: boolean;
  device: "cuda" | "cpu" | "split" | "none";
  notes: string;
  batch: number | null;
  length: number | null;
  longest: number | null;
}

export interface Check {
  model_id: string;
  revision: string;
  model_type: string;
  model_family: string;
  architectures: string[];
  task: string;
  primary_library: string;
  recognised_by: string;
  parameters: Record<string, unknown>;
  weight_bytes: number;
  weight_form: string;
  files: Record<string, number>;
  capabilities: Record<string, unknown>;
  requirements: Record<string, unknown>;
  safety: { level: string; what: string; fix?: string }[];
  disk: { files: number; environment: number; total: number; free: number };
  hardware: Record<string, unknown>;
  verdicts: Verdict[];
  estimated: boolean;
  warnings: string[];
  next_step: string;
}

export interface Adapter {
  name: string;
  path: string;
  base_model: string;
  method: string;
  rank: number | null;
  num_bytes: number;
  created_at: string | null;
  /** `trained`, `imported`, `combined`, `resized`, or `found` where nothing says. */
  origin: string;
  /** What it was made of, where it was not trained. */
  parents: string[];
  /** Why it cannot be used. */
  troubles: string[];
  /** The task that made it, where it was made here. */
  task: number | null;
  dataset: number | null;
  dataset_name: string;
  dataset_version: number | null;
  scores: Record<string, number>;
}

/** What other tools left in a folder of the server's machine. */
export interface Scan {
  adapters: { name: string; folder: string; base: string; kind: string; rank: number | null; num_bytes: number; troubles: string[] }[];
  models: { name: string; folder: string; family: string; num_bytes: number; trouble: string }[];
  /** Whether there is more than was looked at. */
  is_cut: boolean;
}

export interface CombineAsked {
  /** Names. */
  adapters: string[];
  name: string;
  method: string;
  /** One for each, with commas; empty: their mean. */
  weights: string;
  /** Of what makes one rank of all. */
  rank?: number;
  /** Share of the values that is kept, where some are left out. */
  density?: number;
}

export interface Resized {
  name: string;
  rank_before: number;
  rank_after: number;
  /** Share of the squared singular values that is kept. */
  energy: number;
  bytes_before: number;
  bytes_after: number;
}

export interface ExportAsked {
  base_model: string;
  adapter: string;
  to: string;
  dataset_id: number | null;
  export_params: Record<string, unknown>;
}

/** What an export came to: `measured` of its task. */
export interface ExportResult {
  target: string;
  place: string;
  files: Record<string, number>;
  /** Of the base's weights and the adapter. */
  bytes_before: number;
  seconds: number;
  notes: string[];
  parity: Parity | null;
}

/** The same prompts through the trained model and the exported one. */
export interface Parity {
  /** How the exported weights are stored. */
  form: string;
  /** The largest distance that passes. */
  limit: number;
  reader: string;
  is_equal: boolean;
  /** The task's own figures, where a dataset was named. */
  scores: { name: string; title: string; trained: number; exported: number; low: number; high: number; is_share: boolean }[];
  rows: { prompt: string; same_ids: boolean; same_answer: boolean; distance: number; difference: string }[];
}

export interface OllamaFacts {
  address: string;
  /** Why it does not answer; empty where it does. */
  problem: string;
  models: { name: string; num_bytes: number; changed: string; family: string }[];
}

export interface Assistant {
  id: number;
  name: string;
  base_model: string;
  /** Path of an adapter; empty: the untouched model. */
  adapter: string;
  system_prompt: string;
  sampling: Record<string, number>;
  /** `stopped`, `starting`, `ready`, `failed`. */
  state: "stopped" | "starting" | "ready" | "failed";
  problem: Problem | null;
  /** The `serve` task of its base, while there is one. */
  serving: number | null;
  /** Of the model, once it is ready. */
  family: string;
  /** For an OpenAI client: its base URL, from this server's own address. */
  path: string;
}
export type AssistantAsked = Pick<Assistant, "name" | "base_model" | "adapter" | "system_prompt" | "sampling">;

export interface Serving {
  /** The number of its `serve` task. */
  id: number;
  base_model: string;
  state: "starting" | "ready" | "failed";
  /** Names that a request's `model` may have; the first is the untouched base. */
  voices: string[];
  /** Of the model, once it is ready. */
  family: string;
  problem: Problem | null;
}

/** Numbers by step, and what was decided on the way. */
export interface Metrics {
  series: Record<string, [number, number][]>;
  decisions: { step: number; name: string; reason: string }[];
  next: number;
}

export interface Trial {
  number: number;
  is_automatic: boolean;
  /** `waiting`, `under way`, `ended early`, `measured`, `failed`. */
  outcome: string;
  reason: string;
  params: Record<string, number | string | boolean>;
  /** Validation loss by units of training. */
  losses: Record<string, number>;
  /** What decides, of those that were measured. */
  value: number | null;
  seconds: number | null;
}

export interface Trials {
  /** What decides, such as "BERTScore". */
  figure: string;
  higher_is_better: boolean;
  trials: Trial[];
  /** Number of the best trial so far. */
  best: number | null;
  best_params: Record<string, unknown>;
  /** The same, as `training_params` of a training; empty while the search is under way. */
  best_options: Record<string, unknown>;
  importances: Record<string, number>;
  /** One sentence, once it is over. */
  verdict: string;
}

/** One held-out row, answered by the base and by what was trained. */
export interface AnswerRow {
  question: string;
  expected: string;
  base: string;
  tuned: string;
  /** How much better (positive) or worse the tuned answer is. */
  change: number | null;
}

/** What a task has left so far, also one that was stopped or has failed after it had saved. */
export interface Results {
  /** Its folder; empty while there is none. */
  adapter: string;
  report: boolean;
  manifest: boolean;
}

/** How to do a task again elsewhere. */
export interface Command {
  shell: string;
  python: string;
}

export interface Judge {
  id: string;
  kind: string;
  model: string;
  base_url: string;
  /** The variable that holds its key, and whether it is set. */
  key_env: string;
  has_key: boolean;
}

export interface System {
  version: string;
  python: string;
  host: string;
  database: string;
  hardware: {
    cpu?: string;
    num_cores?: number;
    ram_bytes?: number;
    ram_free_bytes?: number;
    disk_bytes?: number;
    disk_free_bytes?: number;
    gpus?: { name: string; memory_bytes: number; free_bytes: number }[];
    [name: string]: unknown;
  };
  running: number;
  waiting: number;
}

export interface DoctorFinding {
  name: string;
  level: "ok" | "warning" | "error";
  what: string;
  fix: string;
}

/** A setting as it stands. Secrets say only whether they are set. */
export interface Setting {
  name: string;
  value: unknown;
  description: string;
  is_secret: boolean;
  is_set: boolean;
  /** Whether it cannot be changed here. */
  is_fixed: boolean;
}

export interface AuditEntry {
  id: number;
  at: string;
  who: string;
  what: string;
  about: Record<string, unknown>;
}

export interface SessionFacts {
  needs_sign_in: boolean;
  account: string | null;
  csrf: string;
}

const at = (path: string, query: Record<string, string | number | boolean | undefined> = {}): string => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  return `/api${path}${given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : ""}`;
};
const get = <T>(path: string, query?: Parameters<typeof at>[1], signal?: AbortSignal) => api<T>(at(path, query), { signal });
const post = <T>(path: string, json: unknown = {}) => api<T>(at(path), { json });
const put = <T>(path: string, json: unknown) => api<T>(at(path), { method: "PUT", json });
const remove = (path: string, query?: Parameters<typeof at>[1]) => api<void>(at(path, query), { method: "DELETE" });

export interface TrainAsked {
  task_name: string;
  base_model: string;
  dataset_id: number;
  training_params: Record<string, unknown>;
  /** The task that this one is made after. */
  parent_id?: number;
}
export interface TuneAsked {
  dataset_id: number;
  task_name?: string;
  fine_tuning_params: { use_llm_judge: boolean; judge_model_id: string; base_model_name: string; n_trials: number };
  tuning_params?: Record<string, unknown>;
}
export interface TaskQuery {
  status?: string;
  kind?: string;
  search?: string;
  before?: number;
  limit?: number;
  [name: string]: string | number | undefined;
}

export const tasks = {
  list: (query: TaskQuery, signal?: AbortSignal) => get<TaskPage>("/tasks", query, signal),
  one: (id: number) => get<Task>(`/tasks/${id}`),
  stop: (id: number) => post<Task>(`/tasks/${id}/stop`),
  resume: (id: number) => post<Task>(`/tasks/${id}/resume`),
  clone: (id: number, asked: { task_name?: string; training_params?: Record<string, unknown> }) => post<Task>(`/tasks/${id}/clone`, asked),
  delete: (id: number, result = false) => remove(`/tasks/${id}`, { result }),
  metrics: (id: number, after = 0) => get<Metrics>(`/tasks/${id}/metrics`, { after }),
  /** The end of its log, as text. */
  logPath: (id: number) => at(`/tasks/${id}/log`),
  command: (id: number) => get<Command>(`/tasks/${id}/command`),
  answers: (id: number) => get<AnswerRow[]>(`/tasks/${id}/answers`),
  trials: (id: number) => get<Trials>(`/tasks/${id}/trials`),
  results: (id: number) => get<Results>(`/tasks/${id}/results`),
  manifestPath: (id: number) => at(`/tasks/${id}/manifest`),
  /** Downloads; 404 while there is none. */
  adapterPath: (id: number) => at(`/tasks/${id}/adapter`),
  reportPath: (id: number) => at(`/tasks/${id}/report`),
};

export const training = {
  schema: () => get<Schema>("/schemas/train"),
  plan: (asked: Omit<TrainAsked, "task_name">, signal?: AbortSignal) => api<Plan>(at("/plan"), { json: asked, signal }),
  start: (asked: TrainAsked) => post<Task>("/train", asked),
  tune: (asked: TuneAsked) => post<Task>("/tune", asked),
};

export const datasets = {
  list: () => get<Dataset[]>("/datasets"),
  one: (id: number) => get<Dataset>(`/datasets/${id}`),
  rows: (id: number, start: number, limit: number) => get<{ items: Row[]; total: number }>(`/datasets/${id}/rows`, { start, limit }),
  seen: (id: number, model: string, start: number, limit: number) =>
    get<{ items: SeenRow[]; total: number }>(`/datasets/${id}/seen`, { model, start, limit }),
  /** Facts with lengths in the tokens of a model. */
  inspect: (id: number, model: string) => get<DatasetFacts>(`/datasets/${id}/facts`, { model }),
  /** A new version: rows by their line as they are to be, null to leave one out; `added` at its end. */
  edit: (id: number, changes: Record<number, Record<string, unknown> | null>, added: Record<string, unknown>[] = []) =>
    post<Dataset>(`/datasets/${id}/versions`, { changes, added }),
  /** Two new datasets, the second with `share` (0…1) of the rows. */
  split: (id: number, share: number, seed = 0) => post<[Dataset, Dataset]>(`/datasets/${id}/split`, { share, seed }),
  /** A sample to try: the invoices that come with lorasmith. */
  sample: () => post<Dataset>("/datasets/sample"),
  delete: (id: number) => remove(`/datasets/${id}`),
  filePath: (id: number) => at(`/datasets/${id}/file`),
  /** A picture or a recording of a folder. */
  media: async (id: number, name: string) => (await request(at(`/datasets/${id}/media`, { name }), { accept: "*/*" })).blob(),
  uploadPath: at("/upload-dataset"),
};

export const models = {
  list: () => get<Model[]>("/models"),
  search: (text: string, signal?: AbortSignal) => get<HubModel[]>("/checks/search", { text }, signal),
  check: (model: string, signal?: AbortSignal) => api<Check>(at("/checks"), { json: { model }, signal }),
  install: (model: string, options: Record<string, unknown> = {}) => post<Task>("/installs", { model, ...options }),
  remove: (name: string) => remove(`/models/${encodeURIComponent(name)}`),
};

export const adapters = {
  list: () => get<Adapter[]>("/adapters"),
  scan: (folder: string, signal?: AbortSignal) => get<Scan>("/scan", { folder }, signal),
  /** A folder or a file on the server's machine. */
  import: (source: string, base_model: string, name: string) => post<{ name: string }>("/adapters/import", { source, base_model, name }),
  combine: (asked: CombineAsked) => post<{ name: string }>("/adapters/combine", asked),
  resize: (asked: { adapter: string; name: string; rank: number }) => post<Resized>("/adapters/resize", asked),
  rename: (name: string, next: string) => api<{ name: string }>(at(`/adapters/${encodeURIComponent(name)}`), { method: "PATCH", json: { name: next } }),
  remove: (name: string) => remove(`/adapters/${encodeURIComponent(name)}`),
};

export const exports = {
  start: (asked: ExportAsked) => post<Task>("/exports", asked),
};

export const ollama = {
  facts: () => get<OllamaFacts>("/ollama"),
  remove: (name: string) => remove(`/ollama/${name.split("/").map(encodeURIComponent).join("/")}`),
};

export const assistants = {
  list: () => get<Assistant[]>("/assistants"),
  create: (asked: AssistantAsked) => post<Assistant>("/assistants", asked),
  change: (id: number, asked: AssistantAsked) => put<Assistant>(`/assistants/${id}`, asked),
  delete: (id: number) => remove(`/assistants/${id}`),
  start: (id: number) => post<Assistant>(`/assistants/${id}/start`),
  stop: (id: number) => post<Assistant>(`/assistants/${id}/stop`),
  /** OpenAI's API; `model` is the assistant's name. */
  chatPath: "/api/assistants/v1/chat/completions",
};

export const servings = {
  list: () => get<Serving[]>("/servings"),
  one: (id: number) => get<Serving>(`/servings/${id}`),
  /** Serve a base with adapters (name to path); one that serves this base already is given the adapters. */
  start: (base_model: string, adapters: Record<string, string>) => post<Serving>("/servings", { base_model, adapters }),
  stop: (id: number) => post<Task>(`/tasks/${id}/stop`),
  /** OpenAI's API of that server; `model` is one of its voices. */
  chatPath: (id: number) => at(`/servings/${id}/v1/chat/completions`),
  /** The model's own page. */
  pagePath: (id: number, adapter: string) => `${at(`/servings/${id}/`)}?adapter=${encodeURIComponent(adapter)}`,
};

export const system = {
  facts: () => get<System>("/system"),
  doctor: () => get<DoctorFinding[]>("/system/doctor"),
  settings: () => get<Setting[]>("/system/settings"),
  /** Null takes a setting back to its default. */
  change: (name: string, value: unknown) => put<Setting[]>(`/system/settings/${name}`, { value }),
  judges: () => get<Judge[]>("/judges"),
  setJudge: (id: string, asked: { kind: string; model?: string; base_url?: string; key_env?: string }) => put<Judge>(`/judges/${id}`, asked),
  deleteJudge: (id: string) => remove(`/judges/${id}`),
  /** Asks the judge for one mark. */
  testJudge: (id: string) => post<{ ok: boolean; what: string }>(`/judges/${id}/test`),
  /** Asks a tracker whether it is there. */
  testTracker: (name: string) => post<{ ok: boolean; what: string }>(`/system/trackers/${name}/test`),
  audit: () => get<AuditEntry[]>("/system/audit"),
};

export const sessions = {
  now: () => get<SessionFacts>("/session"),
  signIn: (token: string) => post<SessionFacts>("/session", { token }),
  signOut: () => remove("/session"),
};

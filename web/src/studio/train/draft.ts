/** What is asked for so far. It outlives the page: who leaves and returns finds what was typed. */
import type { Values } from "~/shared/components/SchemaForm";
import type { Schema } from "~/shared/api/types";
import { createStore } from "~/shared/store";
import type { Dataset, Task } from "../api";

export interface Draft {
  dataset: number | null;
  model: string;
  /** As typed; null: the name that dataset and model make. */
  name: string | null;
  /** Fields of the spec that the reader chose. */
  params: Values;
  advanced: boolean;
  /** In the box over the models. */
  search: string;
  /** The task that all this was taken from. */
  from: { id: number; name: string } | null;
}

const EMPTY: Draft = { dataset: null, model: "", name: null, params: {}, advanced: false, search: "", from: null };
export const draft = createStore<Draft>(EMPTY);

export const changeParam = (name: string, value: unknown): void =>
  draft.set(({ params: { [name]: _, ...others } }) => ({ params: value === undefined ? others : { ...others, [name]: value } }));

/** Back to automatic; the button that asked for it goes, and the focus stays with the field. */
export function resetParam(name: string, field: string): void {
  changeParam(name, undefined);
  document.getElementById(field)?.focus();
}

/** Of a spec, what has a place of its own here, or is of no use to a task that runs by itself. */
export const NOT_GIVEN: ReadonlySet<string> = new Set(["model", "data", "output", "tensorboard_port"]);

/** Everything as that task was asked for, or as a search found it best. */
export function fillFrom(task: Task, schema: Schema, name: string): void {
  const given = (task.kind === "tune" ? task.measured.best_options : task.training_params) ?? {};
  const params = Object.fromEntries(
    Object.entries(given).filter(([key, value]) => value !== null && !NOT_GIVEN.has(key) && key in (schema.properties ?? {})),
  );
  draft.set({ ...EMPTY, dataset: task.dataset, model: task.base_model, name, params, advanced: Object.keys(params).length > 0, from: { id: task.id, name: task.task_name } });
}

/** Empties the form; returns how to have it back. */
export function clearDraft(): () => void {
  const before = draft.get();
  draft.set(EMPTY);
  return () => draft.set(before);
}

const withoutEnding = (file: string): string => file.replace(/\.(gz|zst|bz2|xz)$/i, "").replace(/\.[a-z0-9]{1,8}$/i, "");

const MOST_LETTERS = 40;
const plain = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}.]+/gu, "-").slice(0, MOST_LETTERS).replace(/^[-.]+|[-.]+$/g, "");

/** "invoices-qwen3-0.6b". */
export function nameOf(dataset: Dataset | undefined, model: string): string {
  const version = dataset && dataset.version > 1 ? `v${dataset.version}` : "";
  return [dataset ? plain(withoutEnding(dataset.name)) : "", version, plain(model.split(/[/\\]/).filter(Boolean).pop() ?? "")].filter(Boolean).join("-");
}

/** The name, or with the first number that nothing has yet. */
export function freeName(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) return name;
  const stem = name.replace(/-\d+$/, "");
  for (let number = 2; ; number++) if (!taken.has(`${stem}-${number}`)) return `${stem}-${number}`;
}

/** A file on its way to the server. It goes on while the reader is on another page. */
import { ApiError } from "~/shared/api/http";
import { askForKey } from "~/shared/api/key";
import type { ErrorBody } from "~/shared/api/types";
import { createStore } from "~/shared/store";
import type { Dataset } from "../api";
import { queries } from "../live";
import { sendFile } from "../parts/upload";
import { draft } from "./draft";

interface Upload {
  /** `reading`: all of it is there, and the server looks at its rows. */
  phase: "none" | "sending" | "reading" | "failed";
  name: string;
  sent: number;
  total: number;
  error: ErrorBody | null;
  /** Whether another try may help. */
  canRepeat: boolean;
}

const NONE: Upload = { phase: "none", name: "", sent: 0, total: 0, error: null, canRepeat: false };
export const upload = createStore<Upload>(NONE);
let request: AbortController | null = null;
let file: File | null = null;

const warn = (event: BeforeUnloadEvent): void => event.preventDefault();

const isUnderWay = (): boolean => ["sending", "reading"].includes(upload.get().phase);

export async function send(chosen: File): Promise<void> {
  if (isUnderWay()) return;
  file = chosen;
  const before = draft.get().dataset;
  upload.set({ ...NONE, phase: "sending", name: chosen.name, total: chosen.size });
  window.addEventListener("beforeunload", warn);
  request = new AbortController();
  const onSent = (sent: number, total: number): void => upload.set({ sent, total, phase: sent < total ? "sending" : "reading" });
  try {
    const dataset = await sendFile(chosen, onSent, request.signal);
    list(dataset);
    // Who has chosen another one meanwhile keeps it.
    if (draft.get().dataset === before) draft.set({ dataset: dataset.id });
    upload.set(NONE);
  } catch (error) {
    if (!(error instanceof ApiError)) return upload.set(NONE);
    upload.set({ phase: "failed", error: error.body, canRepeat: true });
    if (error.status === 401) void askForKey().then(sendAgain);
  } finally {
    window.removeEventListener("beforeunload", warn);
  }
}

export const sendAgain = (): void => void (file && send(file));

/** Ends what is under way, or takes the note about a failure away. */
export function cancelUpload(): void {
  request?.abort();
  upload.set(NONE);
}

/** What cannot be sent at all. */
export const refuse = (name: string, message: string): void => upload.set({ ...NONE, phase: "failed", name, error: { message } });

/** A dataset that has just come: every list has it at once. */
export function list(dataset: Dataset): void {
  queries.setQueryData<Dataset[]>(["datasets"], (before) => before && [dataset, ...before.filter(({ id }) => id !== dataset.id)]);
  void queries.invalidateQueries({ queryKey: ["datasets"] });
}

/** Files on their way from this page, one after another. They go on while the reader is on another page. */
import { ApiError, asErrorBody, isAbort } from "~/shared/api/http";
import { askForKey } from "~/shared/api/key";
import type { ErrorBody } from "~/shared/api/types";
import { toast } from "~/shared/components/Toasts";
import { createStore } from "~/shared/store";
import type { Dataset } from "../api";
import { queries } from "../live";
import { sendFile } from "../parts/upload";
import { sayDataset } from "./words";

export interface Upload {
  id: number;
  name: string;
  /** None of what cannot be sent at all. */
  file: File | null;
  /** `reading`: all of it is there, and the server looks at its rows. */
  phase: "waiting" | "sending" | "reading" | "failed";
  sent: number;
  error: ErrorBody | null;
}

export const uploads = createStore<{ list: Upload[] }>({ list: [] });
let counter = 0;
let current: { id: number; request: AbortController } | null = null;

const change = (id: number, change: Partial<Upload>): void =>
  uploads.set(({ list }) => ({ list: list.map((one) => (one.id === id ? { ...one, ...change } : one)) }));
const forget = (id: number): void => uploads.set(({ list }) => ({ list: list.filter((one) => one.id !== id) }));
const warn = (event: BeforeUnloadEvent): void => event.preventDefault();

const asked = (name: string, file: File | null): Upload => ({ id: ++counter, name, file, phase: "waiting", sent: 0, error: null });

export function sendAll(files: File[]): void {
  uploads.set(({ list }) => ({ list: [...list, ...files.map((file) => asked(file.name, file))] }));
  void run();
}

/** What cannot be sent at all, as a folder. */
export const refuse = (name: string, message: string): void =>
  uploads.set(({ list }) => ({ list: [...list, { ...asked(name, null), phase: "failed", error: { message } }] }));

export function sendAgain(id: number): void {
  change(id, { phase: "waiting", sent: 0, error: null });
  void run();
}

/** Ends it if it is under way; takes it off the list in any case. */
export function dismiss(id: number): void {
  if (current?.id === id) current.request.abort();
  forget(id);
}

async function run(): Promise<void> {
  if (current) return;
  window.addEventListener("beforeunload", warn);
  for (let next; (next = uploads.get().list.find(({ phase }) => phase === "waiting")); ) await send(next);
  window.removeEventListener("beforeunload", warn);
}

async function send({ id, file }: Upload): Promise<void> {
  if (!file) return forget(id);
  const request = new AbortController();
  current = { id, request };
  change(id, { phase: "sending" });
  try {
    tell(await sendFile(file, (sent, total) => change(id, { sent, phase: sent < total ? "sending" : "reading" }), request.signal));
    forget(id);
  } catch (error) {
    if (isAbort(error)) forget(id);
    else change(id, { phase: "failed", error: asErrorBody(error) });
    if (error instanceof ApiError && error.status === 401) void askForKey().then(() => sendAgain(id));
  } finally {
    current = null;
  }
}

function tell({ name, error }: Dataset): void {
  void queries.invalidateQueries({ queryKey: ["datasets"] });
  if (error) toast(sayDataset("upload.unusable", { name, why: error.what }), { bad: true });
  else toast(sayDataset("upload.done", { name }));
}

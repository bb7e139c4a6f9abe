/** Requests to the server that this page came from, and to no other. */
import { apiKey, askForKey, session } from "./key";
import type { ErrorBody } from "./types";

export class ApiError extends Error {
  constructor(
    readonly body: ErrorBody,
    readonly status = 0,
  ) {
    super(body.message);
  }
  /** The server could not be reached, or went away while it answered. */
  get isLost(): boolean {
    return this.status === 0 && this.body.code === "lost";
  }
}

export const lost = (): ApiError => new ApiError({ message: "", code: "lost" });
export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

export const asErrorBody = (error: unknown): ErrorBody =>
  error instanceof ApiError ? error.body : { message: error instanceof Error ? error.message : String(error) };

interface Options {
  /** GET without a body, POST with one, where none is named. */
  method?: string;
  json?: unknown;
  form?: FormData;
  signal?: AbortSignal;
  accept?: string;
}

/** The answer as it came, errors raised as ApiError; waits for a key where one is needed. Paths are relative: a proxy may add a prefix. */
export async function request(path: string, { method, json, form, signal, accept }: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: accept ?? "application/json" };
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  if (session.csrf) headers["X-CSRF-Token"] = session.csrf;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const body = form ?? (json === undefined ? undefined : JSON.stringify(json));
  let response: Response;
  try {
    response = await fetch(path, { method: method ?? (body === undefined ? "GET" : "POST"), headers, body, signal, cache: "no-store" });
  } catch (error) {
    throw isAbort(error) ? error : lost();
  }
  if (response.status === 401) {
    await askForKey();
    return request(path, { method, json, form, signal, accept });
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const error = (body as { error?: ErrorBody } | null)?.error;
  return new ApiError(error ?? { message: `${response.status} ${response.statusText}` }, response.status);
}

export async function api<T>(path: string, options: Options = {}): Promise<T> {
  const response = await request(path, options);
  if (response.status === 204) return undefined as T;
  try {
    return (await response.json()) as T;
  } catch (error) {
    throw isAbort(error) ? error : lost();
  }
}

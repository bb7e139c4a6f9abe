/** A conversation over an OpenAI-compatible route, streamed. */
import { useRef, useState } from "react";
import { ApiError, asErrorBody, isAbort, lost, request } from "~/shared/api/http";
import { eventData } from "~/shared/api/sse";
import type { ErrorBody } from "~/shared/api/types";

export interface Turn {
  role: "user" | "assistant";
  content: string;
}

export interface Voice {
  path: string;
  model: string;
  system?: string;
  sampling?: Record<string, number>;
}

interface Chunk {
  choices?: { delta?: { content?: string | null } }[];
  error?: ErrorBody;
}

async function* answered({ path, model, system, sampling }: Voice, turns: Turn[], signal: AbortSignal): AsyncGenerator<string> {
  const messages = system ? [{ role: "system", content: system }, ...turns] : turns;
  const response = await request(path, { json: { ...sampling, model, messages, stream: true }, signal, accept: "text/event-stream" });
  if (!response.body) throw lost();
  for await (const data of eventData(response.body)) {
    if (data === "[DONE]") return;
    const { choices, error } = JSON.parse(data) as Chunk;
    if (error) throw new ApiError(error, 500);
    const piece = choices?.[0]?.delta?.content;
    if (piece) yield piece;
  }
}

export interface Talk {
  turns: Turn[];
  busy: boolean;
  error: ErrorBody | null;
  send: (text: string) => Promise<void>;
  stop: () => void;
  clear: () => void;
}

export function useTalk(voice: Voice): Talk {
  const [turns, setTurns] = useState<Turn[]>([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ErrorBody | null>(null);
  const abort = useRef<AbortController | null>(null);

  const send = async (text: string): Promise<void> => {
    const asked: Turn[] = [...turns, { role: "user", content: text }];
    abort.current = new AbortController();
    setTurns([...asked, { role: "assistant", content: "" }]);
    setError(null);
    setBusy(true);
    let said = "";
    try {
      for await (const piece of answered(voice, asked, abort.current.signal)) {
        said += piece;
        setTurns([...asked, { role: "assistant", content: said }]);
      }
    } catch (problem) {
      if (!isAbort(problem)) setError(asErrorBody(problem));
      // What was said stays; a question without any answer can be asked again.
      if (!said) setTurns(asked.slice(0, -1));
    } finally {
      setBusy(false);
    }
  };
  return { turns, busy, error, send, stop: () => abort.current?.abort(), clear: () => { setTurns([]); setError(null); } };
}

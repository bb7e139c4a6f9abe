/** What the server says and is told, as its contract has it. */

export interface ErrorBody {
  message: string;
  type?: string;
  param?: string | null;
  code?: string | null;
  hint?: string | null;
}

export interface Health {
  status: "loading" | "ready" | "failed";
  stage?: string;
  done?: number;
  total?: number;
  unit?: string;
  error?: ErrorBody;
  model?: string;
  family?: string;
  device?: string;
  uptime_seconds?: number;
  engine?: string;
  busy?: number;
  waiting?: number;
}

export interface Adapter {
  name: string;
  rank?: number | null;
  alpha?: number | null;
  base?: string | null;
}

export interface Capabilities {
  stream?: boolean;
  reasoning?: boolean;
  tools?: boolean;
  structured?: boolean;
  images?: boolean;
  /** Of pictures that are drawn: whether parts of one can be drawn anew. */
  inpaint?: boolean;
  audio_in?: boolean;
  audio_out?: boolean;
  adapters?: boolean;
  fields?: string[];
}

/** The part of JSON Schema that the calls of the families use. */
export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  $ref?: string;
  $defs?: Record<string, Schema>;
}

export interface Info {
  id: string;
  family: string;
  task?: string;
  model?: Record<string, unknown>;
  engine?: string;
  device?: string;
  precision?: string;
  context_tokens?: number | null;
  capabilities: Capabilities;
  parameters?: Schema;
  defaults?: Record<string, unknown>;
  adapters: Adapter[];
  /** Answers where a call names none; empty: the untouched model. */
  default_adapter?: string;
  limits?: Record<string, unknown>;
  version?: string;
}

/** Bytes in JSON: base64 and its media type. */
export interface Blob64 {
  data: string;
  type?: string;
}

export interface Usage {
  prompt_tokens?: number;
  thinking_tokens?: number;
  answer_tokens?: number;
  total_tokens?: number;
}

/** One request of a family; its fields are described by `Info.parameters`. */
export type Call = Record<string, unknown>;

/** One event of a stream, over WebSocket and server-sent events alike. `Result` is what /generate answers. */
export interface StreamEvent<Result = Record<string, unknown>> {
  id?: string;
  token?: string;
  type?: "answer" | "thinking";
  finished?: boolean;
  finish_reason?: string;
  usage?: Usage;
  seconds?: number;
  seconds_to_first?: number;
  tool_calls?: unknown[];
  progress?: { done: number; total?: number | null };
  preview?: Blob64;
  result?: Result;
  error?: ErrorBody;
}

export interface TextAnswer {
  text: string;
  thinking?: string | null;
  tool_calls?: unknown[];
  finish_reason?: string;
  usage?: Usage;
  seconds?: number;
  seconds_to_first?: number;
}

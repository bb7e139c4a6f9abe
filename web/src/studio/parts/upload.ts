/** A file on its way to the server. fetch() does not tell how much of a body is sent. */
import { ApiError, lost } from "~/shared/api/http";
import { apiKey, session } from "~/shared/api/key";
import type { ErrorBody } from "~/shared/api/types";
import { type Dataset, datasets } from "../api";

/** `onSent` is told how many bytes of how many are sent. Raises ApiError, AbortError. */
export function sendFile(file: File, onSent: (sent: number, total: number) => void, signal: AbortSignal): Promise<Dataset> {
  const form = new FormData();
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    signal.addEventListener("abort", () => asked.abort());
    asked.open("POST", datasets.uploadPath);
    asked.responseType = "json";
    asked.setRequestHeader("Accept", "application/json");
    if (apiKey()) asked.setRequestHeader("Authorization", `Bearer ${apiKey()}`);
    if (session.csrf) asked.setRequestHeader("X-CSRF-Token", session.csrf);
    asked.upload.onprogress = ({ loaded, total }) => onSent(loaded, total);
    asked.onload = () => {
      if (asked.status >= 200 && asked.status < 300) return resolve(asked.response as Dataset);
      const body = (asked.response as { error?: ErrorBody } | null)?.error;
      reject(new ApiError(body ?? { message: `${asked.status} ${asked.statusText}` }, asked.status));
    };
    asked.onerror = () => reject(lost());
    asked.onabort = () => reject(new DOMException("stopped", "AbortError"));
    asked.send(form);
  });
}

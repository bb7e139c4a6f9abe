/** Files on their way from this page, one after another. */
import { asErrorBody, isAbort } from "~/shared/api/http";
import { toast } from "~/shared/components/Toasts";
import { createStore } from "~/shared/store";
import { queries } from "../live";
import { sendFile } from "../parts/upload";

export const uploads = createStore<{ name: string; sent: number; total: number }>({ name: "", sent: 0, total: 0 });
let current: AbortController | null = null;

export const stopUpload = (): void => current?.abort();

export async function uploadAll(files: File[]): Promise<void> {
  for (const file of files) {
    current = new AbortController();
    uploads.set({ name: file.name, sent: 0, total: file.size });
    try {
      await sendFile(file, (sent, total) => uploads.set({ sent, total }), current.signal);
    } catch (error) {
      if (isAbort(error)) break;
      const { message, hint } = asErrorBody(error);
      toast([`${file.name}: ${message}`, hint].filter(Boolean).join(" · "), { bad: true });
    } finally {
      uploads.set({ name: "" });
      void queries.invalidateQueries({ queryKey: ["datasets"] });
    }
  }
}

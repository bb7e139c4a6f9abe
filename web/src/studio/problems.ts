/** A problem as the API tells it, for the note that every page shows it in. */
import { asErrorBody } from "~/shared/api/http";
import type { ErrorBody } from "~/shared/api/types";
import { toast } from "~/shared/components/Toasts";
import type { Problem } from "./api";

export const noteOf = ({ what, why, fix }: Problem): ErrorBody => ({ message: what, hint: [why, fix].filter(Boolean).join("\n") || null });

/** For `onError` of a call that has no place of its own to show it. */
export function toastError(error: unknown): void {
  const { message, hint } = asErrorBody(error);
  toast([message, hint].filter(Boolean).join(" · "), { bad: true });
}

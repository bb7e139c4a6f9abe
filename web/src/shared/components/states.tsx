/** The states that every view has beside "full": empty, loading, error. */
import { type LucideIcon, RotateCcw, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { ErrorBody } from "../api/types";
import { useT } from "../i18n";
import { Button } from "./Button";

interface EmptyProps {
  icon: LucideIcon;
  title: string;
  text: string;
  samples?: { label: string; onSelect: () => void }[];
  children?: ReactNode;
}

export function Empty({ icon: Icon, title, text, samples = [], children }: EmptyProps) {
  return (
    <div className="m-auto flex w-full max-w-2xl flex-col items-center gap-4 px-4 py-8 text-center">
      <span className="grid size-12 place-items-center rounded-lg bg-accent-soft text-accent-ink">
        <Icon size={24} aria-hidden />
      </span>
      <div className="max-w-md">
        <h2 className="text-lg font-semibold text-balance">{title}</h2>
        <p className="mt-1 text-pretty text-muted">{text}</p>
      </div>
      {children}
      {samples.length > 0 && (
        <div className={`mt-2 grid gap-2 ${samples.length > 1 ? "w-full sm:grid-cols-2" : ""}`}>
          {samples.map(({ label, onSelect }) => (
            <button
              key={label}
              type="button"
              onClick={onSelect}
              className="rounded-lg border border-line bg-panel px-4 py-3 text-left transition-colors hover:border-line-strong hover:bg-raised"
            >
              {label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

export function ErrorNote({ error, onRetry }: { error: ErrorBody; onRetry?: () => void }) {
  const t = useT();
  const message = error.code === "lost" ? t("error.lost") : error.message;
  return (
    <div role="alert" className="appear flex items-start gap-3 rounded-lg bg-bad-soft px-4 py-3">
      <TriangleAlert size={18} aria-hidden className="mt-px shrink-0 text-bad" />
      <div className="min-w-0 flex-1 break-words">
        <p className="font-medium text-bad">{message}</p>
        {error.hint && <p className="mt-1 whitespace-pre-wrap">{error.hint}</p>}
      </div>
      {onRetry && (
        <Button icon={RotateCcw} className="-my-1" onClick={onRetry}>
          {t("retry")}
        </Button>
      )}
    </div>
  );
}

interface ProgressProps {
  done: number;
  total?: number | null;
  label: string;
}

export function Progress({ done, total, label }: ProgressProps) {
  const share = total ? Math.min(1, done / total) : 0;
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total ?? undefined}
      aria-valuenow={total ? done : undefined}
      className={`h-1.5 w-full overflow-hidden rounded-full bg-raised ${total ? "" : "skeleton"}`}
    >
      <div className="h-full rounded-full bg-accent transition-[width] duration-200" style={{ width: `${share * 100}%` }} />
    </div>
  );
}

/** What pages are put together from: their head, cards, facts. */
import type { ReactNode } from "react";

export function Page({ children, wide }: { children: ReactNode; wide?: boolean }) {
  return <div className={`mx-auto flex w-full flex-col gap-5 px-4 py-5 sm:px-6 ${wide ? "max-w-[100rem]" : "max-w-7xl"}`}>{children}</div>;
}

interface HeadProps {
  title: string;
  /** Beside the title: a state, a version. */
  note?: ReactNode;
  /** Beneath it. */
  text?: ReactNode;
  children?: ReactNode;
}

export function PageHead({ title, note, text, children }: HeadProps) {
  return (
    <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-3">
      <div className="min-w-0">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <h1 className="min-w-0 text-lg font-semibold break-words">{title}</h1>
          {note}
        </div>
        {text && <p className="mt-1 max-w-prose text-pretty text-muted">{text}</p>}
      </div>
      {children && <div className="flex flex-wrap gap-2">{children}</div>}
    </div>
  );
}

interface CardProps {
  title?: string;
  /** Right of the title. */
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  /** Whether its content reaches its edges, as a table does. */
  flush?: boolean;
}

export function Card({ title, aside, children, className = "", flush }: CardProps) {
  return (
    <section className={`min-w-0 rounded-lg border border-line bg-panel shadow-low ${className}`} aria-label={title}>
      {(title || aside) && (
        <div className="flex min-h-11 flex-wrap items-center justify-between gap-2 px-4 pt-3 pb-1">
          {title && <h2 className="font-semibold">{title}</h2>}
          {aside}
        </div>
      )}
      <div className={flush ? "" : `px-4 pb-4 ${title || aside ? "pt-1" : "pt-4"}`}>{children}</div>
    </section>
  );
}

/** Names with their values, as two columns. */
export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-6 gap-y-1.5">
      {facts.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="min-w-0 text-right break-words tabular-nums">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export const INPUT =
  "h-9 w-full min-w-0 rounded-md border border-line bg-page px-3 focus:border-accent focus:outline-none aria-invalid:border-bad disabled:opacity-60";

/** A labelled input; `hint` stands beneath, `problem` in its place. */
export function Labelled({ label, hint, problem, children, id }: { label: string; hint?: string; problem?: string; children: ReactNode; id: string }) {
  return (
    <div>
      <label htmlFor={id} className="mb-1 block font-medium">{label}</label>
      {children}
      {problem ? <p role="alert" className="mt-1 text-xs text-bad">{problem}</p> : hint && <p className="mt-1 text-xs text-pretty text-muted">{hint}</p>}
    </div>
  );
}

export function Skeletons({ rows = 3, className = "h-14" }: { rows?: number; className?: string }) {
  return (
    <div aria-hidden className="flex flex-col gap-3">
      {Array.from({ length: rows }, (_, index) => <div key={index} className={`skeleton ${className}`} />)}
    </div>
  );
}

/** Table cells with one look everywhere. */
export const TABLE = "w-full border-collapse text-left";
export const TH = "border-b border-line px-3 py-2 text-xs font-medium whitespace-nowrap text-muted first:pl-4 last:pr-4";
export const TD = "border-b border-line px-3 py-2 align-top first:pl-4 last:pr-4 [tr:last-child>&]:border-0";
export const NUMBER = "text-right tabular-nums whitespace-nowrap";

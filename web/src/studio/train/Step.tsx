/** One of the numbered steps of the form. */
import { Check } from "lucide-react";
import { type ReactNode, useEffect, useRef } from "react";

/** A link in a line of text, high enough for a finger. */
export const LINK = "-my-2 inline-block rounded-sm py-2 font-medium text-accent-ink hover:underline";

interface StepProps {
  number: number;
  title: string;
  /** What it is for; said while something is to be chosen. */
  text?: string;
  isOpen?: boolean;
  done: boolean;
  aside?: ReactNode;
  children: ReactNode;
}

export function Step({ number, title, text, isOpen, done, aside, children }: StepProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const wasOpen = useRef(isOpen);
  useEffect(() => {
    // What was chosen or changed has taken the focused control away with it: go on from here, and not from the top of the page.
    if (wasOpen.current !== isOpen && document.activeElement === document.body) heading.current?.focus();
    wasOpen.current = isOpen;
  }, [isOpen]);
  return (
    <section aria-label={title} className="grid grid-cols-[1.5rem_minmax(0,1fr)] gap-x-3 gap-y-2 border-b border-line px-4 py-4 sm:px-5">
      <span aria-hidden className={`grid size-6 place-items-center rounded-full text-xs font-semibold ${done ? "bg-ok-soft text-ok" : "bg-accent-soft text-accent-ink"}`}>
        {done ? <Check size={14} /> : number}
      </span>
      <div className="flex min-h-6 flex-wrap items-center justify-between gap-x-3">
        <h3 ref={heading} tabIndex={-1} className="font-semibold focus:outline-none">{title}</h3>
        {aside && <span className="-my-1.5 -mr-3">{aside}</span>}
      </div>
      <div className="col-span-2 flex min-w-0 flex-col gap-3 sm:col-span-1 sm:col-start-2">
        {text && isOpen && <p className="-mt-1.5 text-pretty text-muted">{text}</p>}
        {children}
      </div>
    </section>
  );
}

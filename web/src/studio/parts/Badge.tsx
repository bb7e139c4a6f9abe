/** A state: an icon, a word, a colour. */
import { Check, CircleDashed, CirclePause, LoaderCircle, type LucideIcon, TriangleAlert, Unplug } from "lucide-react";
import type { ReactNode } from "react";
import { useStudioWords } from "../words";
import type { Status } from "../api";

type Tone = "ok" | "warn" | "bad" | "accent" | "plain";
const TONES: Record<Tone, string> = {
  ok: "bg-ok-soft text-ok", warn: "bg-warn-soft text-warn", bad: "bg-bad-soft text-bad", accent: "bg-accent-soft text-accent-ink", plain: "bg-raised text-muted",
};

export function Badge({ tone = "plain", icon: Icon, children, title }: { tone?: Tone; icon?: LucideIcon; children: ReactNode; title?: string }) {
  return (
    <span title={title} className={`inline-flex h-6 shrink-0 items-center gap-1 rounded-full px-2 text-xs font-medium whitespace-nowrap ${TONES[tone]}`}>
      {Icon && <Icon size={13} aria-hidden />}
      {children}
    </span>
  );
}

const STATES: Record<Status, [Tone, LucideIcon]> = {
  pending: ["plain", CircleDashed], running: ["accent", LoaderCircle], completed: ["ok", Check], failed: ["bad", TriangleAlert],
  stopped: ["warn", CirclePause], interrupted: ["warn", Unplug],
};

export function StatusBadge({ status }: { status: Status }) {
  const t = useStudioWords();
  const [tone, icon] = STATES[status];
  return <Badge tone={tone} icon={icon}>{t(`status.${status}`)}</Badge>;
}

/** All assistants; those of one base share one loaded model. */
import { CircleCheck, CirclePause, LoaderCircle, type LucideIcon, TriangleAlert } from "lucide-react";
import { Link } from "wouter";
import type { Adapter, Assistant } from "../api";
import { Badge } from "../parts/Badge";
import { useAdapters } from "../train/hooks";
import { useAssistantWords } from "./words";

type State = Assistant["state"];
const STATES: Record<State, ["ok" | "bad" | "accent" | "plain", LucideIcon]> = {
  stopped: ["plain", CirclePause], starting: ["accent", LoaderCircle], ready: ["ok", CircleCheck], failed: ["bad", TriangleAlert],
};

export function StateBadge({ state }: { state: State }) {
  const t = useAssistantWords();
  const [tone, icon] = STATES[state];
  return <Badge tone={tone} icon={icon}>{t(`state.${state}`)}</Badge>;
}

/** The adapter's name where it is known, else the end of its path. */
export const adapterName = (path: string, adapters: Adapter[] | undefined): string =>
  adapters?.find((one) => one.path === path)?.name ?? (path.replace(/\/lora\/?$/, "").split("/").pop() || path);

export function AssistantList({ list, shown }: { list: Assistant[]; shown: number | undefined }) {
  const t = useAssistantWords();
  const adapters = useAdapters();
  return (
    <nav aria-label={t("title")} className="overflow-hidden rounded-lg border border-line bg-panel shadow-low lg:max-h-[calc(100dvh-11rem)] lg:overflow-y-auto">
      <ul className="divide-y divide-line">
        {list.map(({ id, name, base_model: base, adapter, state }) => (
          <li key={id}>
            <Link
              href={`/assistants/${id}`}
              aria-current={id === shown ? "page" : undefined}
              className={`relative flex items-start gap-2 px-4 py-3 transition-colors hover:bg-raised focus-visible:outline-offset-[-2px] ${id === shown ? "lg:bg-accent-soft lg:before:absolute lg:before:inset-y-0 lg:before:left-0 lg:before:w-0.75 lg:before:bg-accent" : ""}`}
            >
              <span className="min-w-0 flex-1">
                <span className="block truncate font-medium" title={name}>{name}</span>
                <span className="block truncate text-xs text-muted" title={base}>{base}</span>
                {adapter && <span className="block truncate text-xs text-muted" title={adapter}>{t("list.adapter", { name: adapterName(adapter, adapters.data) })}</span>}
              </span>
              <StateBadge state={state} />
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** Which model answers, and with what it has learnt. */
import { Link } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { ErrorNote } from "~/shared/components/states";
import { formatAgo, formatBytes } from "~/shared/i18n";
import { isOf, methodName } from "../models/adapters";
import { INPUT, Labelled } from "../parts/layout";
import { TEXT_LINK } from "../parts/links";
import { useAdapters, useModels } from "../train/hooks";
import { adapterName } from "./AssistantList";
import { useAssistantWords } from "./words";

interface Props {
  base: string;
  adapter: string;
  /** Whether it was tried to save: only then is said what is missing. */
  isTried: boolean;
  onChange: (changes: { base_model?: string; adapter?: string }) => void;
}

export function BaseAndAdapter({ base, adapter, isTried, onChange }: Props) {
  const t = useAssistantWords();
  const known = useModels();
  const adapters = useAdapters();
  const usable = (known.data ?? []).filter(({ id, troubles }) => !troubles.length || id === base);
  const model = usable.find(({ id, name }) => id === base || name === base);
  const theirs = (adapters.data ?? []).filter((one) => (model ? isOf(one, model) : one.base_model === base));
  return (
    <>
      <Labelled id="assistant-base" label={t("base")} hint={t("base.hint")} problem={isTried && !base ? t("base.missing") : undefined}>
        <select
          id="assistant-base"
          className={INPUT}
          aria-invalid={isTried && !base}
          disabled={known.isPending}
          value={base}
          onChange={(event) => onChange({ base_model: event.target.value, adapter: "" })}
        >
          <option value="" disabled>{t(known.isPending ? "loading" : "base.choose")}</option>
          {base && known.data && !model && <option value={base}>{t("base.gone", { name: base })}</option>}
          {usable.map(({ id, num_bytes }) => <option key={id} value={id}>{id} · {formatBytes(num_bytes)}</option>)}
        </select>
      </Labelled>
      {known.error && <ErrorNote error={asErrorBody(known.error)} onRetry={() => void known.refetch()} />}
      {known.data && !usable.length && <p className="text-muted">{t("base.none")} <Link href="/models/check" className={TEXT_LINK}>{t("base.install")}</Link></p>}
      <Labelled id="assistant-adapter" label={t("adapter")} hint={base && adapters.data && !theirs.length ? t("adapter.noneOf") : t("adapter.hint")}>
        <select id="assistant-adapter" className={INPUT} disabled={!base || adapters.isPending} value={adapter} onChange={(event) => onChange({ adapter: event.target.value })}>
          <option value="">{t("adapter.none")}</option>
          {adapter && !theirs.some(({ path }) => path === adapter) && <option value={adapter}>{adapterName(adapter, adapters.data)}</option>}
          {theirs.map(({ path, name, method, created_at }) => (
            <option key={path} value={path}>{[name, methodName(method), created_at && formatAgo(created_at)].filter(Boolean).join(" · ")}</option>
          ))}
        </select>
      </Labelled>
      {adapters.error && <ErrorNote error={asErrorBody(adapters.error)} onRetry={() => void adapters.refetch()} />}
    </>
  );
}

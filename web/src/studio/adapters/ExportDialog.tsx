/** A model with an adapter taken elsewhere: where to, in which form, compared on what. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { type ExportAsked, exports, ollama } from "../api";
import { learn } from "../live";
import { FormDialog } from "../parts/FormDialog";
import { INPUT, Labelled } from "../parts/layout";
import { useDatasets } from "../train/hooks";
import { useAdapterWords } from "./words";

const TARGETS = ["merged", "gguf", "ollama", "adapter", "hub"] as const;
type Target = (typeof TARGETS)[number];
const FORMS = ["q8_0", "f16", "q4_0", "f32"] as const;
type Form = (typeof FORMS)[number];

interface Draft {
  to: Target;
  form: Form;
  dataset: number | null;
  keep: boolean;
  repo: string;
  isPublic: boolean;
  isWhole: boolean;
}

const askedOf = (base: string, adapter: string, { to, form, dataset, keep, repo, isPublic, isWhole }: Draft): ExportAsked => ({
  base_model: base, adapter, to, dataset_id: dataset,
  export_params: {
    ...((to === "gguf" || to === "ollama") && { quantize: form }),
    ...(to === "hub" && { ...(repo.trim() && { repo: repo.trim() }), ...(isPublic && { public: true }), ...(isWhole && { merged: true }) }),
    ...(keep && { allow_mismatch: true }),
  },
});

interface ExportProps {
  base: string;
  /** Its name, or its folder. */
  adapter: string;
  /** What the reader calls it. */
  name?: string;
  onClose: () => void;
}

export function ExportDialog({ base, adapter, name = adapter, onClose }: ExportProps) {
  const t = useAdapterWords();
  const [, navigate] = useLocation();
  const [draft, setDraft] = useState<Draft>({ to: "merged", form: "q8_0", dataset: null, keep: false, repo: "", isPublic: false, isWhole: false });
  const change = (changes: Partial<Draft>): void => setDraft((before) => ({ ...before, ...changes }));
  const start = useMutation({
    mutationFn: () => exports.start(askedOf(base, adapter, draft)),
    onSuccess: (task) => {
      learn(task);
      navigate(`/tasks/${task.id}`);
    },
  });
  const { to } = draft;
  return (
    <FormDialog title={t("export.title", { name })} action={t("export.do")} isPending={start.isPending} error={start.error} onSubmit={() => start.mutate()} onClose={onClose}>
      <fieldset className="flex flex-col gap-2">
        <legend className="mb-1 font-medium">{t("export.target")}</legend>
        {TARGETS.map((one) => (
          <label key={one} className={`flex items-start gap-3 rounded-md border px-3 py-2 transition-colors ${one === to ? "border-accent bg-accent-soft" : "border-line hover:bg-raised"}`}>
            <input type="radio" name="export-target" className="mt-1 size-4 shrink-0 accent-(--accent)" checked={one === to} onChange={() => change({ to: one })} />
            <span className="min-w-0">
              <span className="block font-medium">{t(`to.${one}`)}</span>
              <span className="block text-xs text-pretty text-muted">{t(`to.${one}.hint`)}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {to === "ollama" && <OllamaState />}
      {(to === "gguf" || to === "ollama") && (
        <Labelled id="export-form" label={t("form")}>
          <select id="export-form" className={INPUT} value={draft.form} onChange={(event) => change({ form: event.target.value as Form })}>
            {FORMS.map((one) => <option key={one} value={one}>{t(`form.${one}`)}</option>)}
          </select>
        </Labelled>
      )}
      {to === "hub" && (
        <>
          <Labelled id="export-repo" label={t("repo")} hint={t("repo.hint")}>
            <input id="export-repo" autoComplete="off" spellCheck={false} className={INPUT} value={draft.repo} onChange={(event) => change({ repo: event.target.value })} />
          </Labelled>
          <Tick label={t("whole")} on={draft.isWhole} onChange={(isWhole) => change({ isWhole })} />
          <Tick label={t("public")} hint={t("public.hint")} on={draft.isPublic} onChange={(isPublic) => change({ isPublic })} />
        </>
      )}
      <Prompts value={draft.dataset} onChange={(dataset) => change({ dataset })} />
      <Tick label={t("keep")} on={draft.keep} onChange={(keep) => change({ keep })} />
    </FormDialog>
  );
}

function Tick({ label, hint, on, onChange }: { label: string; hint?: string; on: boolean; onChange: (on: boolean) => void }) {
  return (
    <label className="flex items-start gap-2">
      <input type="checkbox" className="mt-0.5 size-4 shrink-0 accent-(--accent)" checked={on} onChange={(event) => onChange(event.target.checked)} />
      <span>{label}{hint && <span className="block text-xs text-muted">{hint}</span>}</span>
    </label>
  );
}

function Prompts({ value, onChange }: { value: number | null; onChange: (id: number | null) => void }) {
  const t = useAdapterWords();
  const { data } = useDatasets();
  const usable = (data ?? []).filter(({ is_read: isRead, error }) => isRead && !error);
  return (
    <Labelled id="export-prompts" label={t("prompts")} hint={t("prompts.hint")}>
      <select id="export-prompts" className={INPUT} value={value ?? ""} onChange={(event) => onChange(event.target.value ? Number(event.target.value) : null)}>
        <option value="">{t("prompts.general")}</option>
        {usable.map(({ id, name, version }) => <option key={id} value={id}>{version > 1 ? `${name} v${version}` : name}</option>)}
      </select>
    </Labelled>
  );
}

/** Whether Ollama is there, before anything is written for it. */
function OllamaState() {
  const { data } = useQuery({ queryKey: ["ollama"], queryFn: ollama.facts, retry: 0 });
  return data?.problem ? <p className="rounded-md bg-warn-soft px-3 py-2 break-words">{data.problem}</p> : null;
}

/** A model with an adapter taken elsewhere: where to, in which form, compared on what. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { Fold } from "~/shared/components/Fold";
import { type ExportAsked, exports, ollama } from "../api";
import { learn } from "../live";
import { FormDialog } from "../parts/FormDialog";
import { INPUT, Labelled } from "../parts/layout";
import { useDatasets } from "../train/hooks";
import { useAdapterWords } from "./words";

const TARGETS = ["merged", "gguf", "ollama", "adapter", "hub"] as const;
type Target = (typeof TARGETS)[number];
const FORMS = ["q8_0", "f16", "bf16", "f32", "q5_1", "q5_0", "q4_1", "q4_0"] as const;
type Form = (typeof FORMS)[number];

interface Draft {
  to: Target;
  form: Form;
  dataset: number | null;
  keep: boolean;
  repo: string;
  isPublic: boolean;
  isWhole: boolean;
  isDry: boolean;
  adapterOnly: boolean;
  dequantize: boolean;
  name: string;
  system: string;
}

const NOTHING: Draft = {
  to: "merged", form: "q8_0", dataset: null, keep: false, repo: "", isPublic: false, isWhole: false, isDry: false, adapterOnly: false,
  dequantize: false, name: "", system: "",
};
const isGguf = (to: Target): boolean => to === "gguf" || to === "ollama";
/** Whether the base's weights are written with the adapter's in them. */
const merges = ({ to, isWhole }: Draft): boolean => to === "merged" || (to === "hub" && isWhole);

/** What does not go with the target is not sent: it may have been chosen for another. */
function askedOf(base: string, adapter: string, draft: Draft): ExportAsked {
  const { to } = draft;
  const [name, repo, system] = [draft.name.trim(), draft.repo.trim(), draft.system.trim()];
  return {
    base_model: base, adapter, to, dataset_id: draft.dataset,
    export_params: {
      ...(isGguf(to) && { quantize: draft.form }),
      ...(to === "gguf" && draft.adapterOnly && { adapter_only: true }),
      ...(to === "ollama" && system && { system }),
      ...(to === "hub" && { ...(repo && { repo }), ...(draft.isPublic && { public: true }), ...(draft.isWhole && { merged: true }), ...(draft.isDry && { dry_run: true }) }),
      ...(name && { name }),
      ...(merges(draft) && draft.dequantize && { dequantize: true }),
      ...(draft.keep && { allow_mismatch: true }),
    },
  };
}

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
  const [draft, setDraft] = useState(NOTHING);
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
      {isGguf(to) && (
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
          <Tick label={t("dry")} hint={t("dry.hint")} on={draft.isDry} onChange={(isDry) => change({ isDry })} />
        </>
      )}
      <Prompts value={draft.dataset} onChange={(dataset) => change({ dataset })} />
      <Fold title={t("more")}>
        <div className="flex flex-col gap-4">
          <Labelled id="export-name" label={t("called")} hint={t("called.hint")}>
            <input id="export-name" autoComplete="off" spellCheck={false} maxLength={120} className={INPUT} placeholder={name} value={draft.name} onChange={(event) => change({ name: event.target.value })} />
          </Labelled>
          {to === "ollama" && (
            <Labelled id="export-system" label={t("system")} hint={t("system.hint")}>
              <textarea id="export-system" rows={3} className={`${INPUT} h-auto! py-2`} value={draft.system} onChange={(event) => change({ system: event.target.value })} />
            </Labelled>
          )}
          {to === "gguf" && <Tick label={t("adapteronly")} hint={t("adapteronly.hint")} on={draft.adapterOnly} onChange={(adapterOnly) => change({ adapterOnly })} />}
          {merges(draft) && <Tick label={t("dequantize")} hint={t("dequantize.hint")} on={draft.dequantize} onChange={(dequantize) => change({ dequantize })} />}
          <Tick label={t("keep")} on={draft.keep} onChange={(keep) => change({ keep })} />
        </div>
      </Fold>
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

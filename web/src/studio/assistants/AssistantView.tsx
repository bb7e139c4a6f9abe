/** One assistant: what it is, talking with it, and how programs talk with it. */
import { useMutation } from "@tanstack/react-query";
import { CirclePause, Layers, Pencil, Play, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { Button, IconButton } from "~/shared/components/Button";
import { Confirm } from "~/shared/components/Dialog";
import { toast } from "~/shared/components/Toasts";
import { useT } from "~/shared/i18n";
import { type Assistant, type AssistantAsked, assistants } from "../api";
import { PageHead } from "../parts/layout";
import { TEXT_LINK } from "../parts/links";
import { toastError } from "../problems";
import { Address } from "./Address";
import { AssistantForm } from "./AssistantForm";
import { StateBadge } from "./AssistantList";
import { drop, keep } from "./changes";
import { Making } from "./Making";
import { Talking } from "./Talking";
import { useAssistantWords } from "./words";

const asked = ({ name, base_model, adapter, system_prompt, sampling }: Assistant): AssistantAsked => ({ name, base_model, adapter, system_prompt, sampling });

export function AssistantView({ one, list }: { one: Assistant; list: Assistant[] }) {
  const t = useAssistantWords();
  const start = useMutation({ mutationFn: () => assistants.start(one.id), onSuccess: keep, onError: toastError });
  const stop = useMutation({ mutationFn: () => assistants.stop(one.id), onSuccess: keep, onError: toastError });
  const isOn = one.state === "starting" || one.state === "ready";
  const others = list.filter(({ id, base_model: base, state }) => id !== one.id && base === one.base_model && state !== "stopped");
  return (
    <div className="flex min-w-0 flex-col gap-4">
      <Link href="/assistants" className={`${TEXT_LINK} self-start py-1 lg:hidden`}>{t("title")}</Link>
      <PageHead title={one.name} note={<span role="status"><StateBadge state={one.state} /></span>}>
        {isOn
          ? <Button icon={CirclePause} disabled={stop.isPending} onClick={() => stop.mutate()}>{t("stop")}</Button>
          : <Button kind="primary" icon={Play} disabled={start.isPending} onClick={() => start.mutate()}>{t(one.state === "failed" ? "start.again" : "start")}</Button>}
        <Edit one={one} list={list} />
        <Delete one={one} />
      </PageHead>
      {others.length > 0 && (
        <p className="flex items-start gap-2 rounded-md bg-raised px-3 py-2 text-muted">
          <Layers size={16} aria-hidden className="mt-0.5 shrink-0" />
          <span className="min-w-0 text-pretty [overflow-wrap:anywhere]">{t(isOn ? "shares" : "wouldShare", { names: others.map(({ name }) => name).join(", "), base: one.base_model })}</span>
        </p>
      )}
      <Talking one={one} />
      <Making one={one} />
      <Address one={one} />
    </div>
  );
}

function Edit({ one, list }: { one: Assistant; list: Assistant[] }) {
  const t = useAssistantWords();
  const shared = useT();
  const [isOpen, setOpen] = useState(false);
  const change = useMutation({ mutationFn: (wanted: AssistantAsked) => assistants.change(one.id, wanted), onSuccess: (now) => { keep(now); setOpen(false); } });
  return (
    <>
      <Button icon={Pencil} onClick={() => setOpen(true)}>{shared("edit")}</Button>
      {isOpen && (
        <AssistantForm
          title={t("edit", { name: one.name })}
          initial={asked(one)}
          note={one.state === "stopped" ? undefined : t("edit.restarts")}
          taken={list.filter(({ id }) => id !== one.id).map(({ name }) => name)}
          isPending={change.isPending}
          error={change.error}
          onSave={change.mutate}
          onClose={() => { setOpen(false); change.reset(); }}
        />
      )}
    </>
  );
}

function Delete({ one }: { one: Assistant }) {
  const t = useAssistantWords();
  const shared = useT();
  const [asks, setAsks] = useState(false);
  const back = (): void => void assistants.create(asked(one)).then((again) => { keep(again); navigate(`/assistants/${again.id}`); }, toastError);
  const removal = useMutation({
    mutationFn: () => assistants.delete(one.id),
    onSuccess: () => {
      drop(one.id);
      navigate("/assistants");
      toast(t("deleted", { name: one.name }), { undo: back });
    },
    onError: toastError,
  });
  return (
    <>
      <IconButton kind="plain" label={t("delete", { name: one.name })} icon={Trash2} disabled={removal.isPending} onClick={() => setAsks(true)} />
      {asks && (
        <Confirm
          title={t("delete.title", { name: one.name })}
          text={t("delete.lost")}
          action={shared("delete")}
          onConfirm={() => { setAsks(false); removal.mutate(); }}
          onClose={() => setAsks(false)}
        />
      )}
    </>
  );
}

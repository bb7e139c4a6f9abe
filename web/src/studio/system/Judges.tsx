/** Models that mark answers. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { KeyRound, Pencil, Plus, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import { asErrorBody } from "~/shared/api/http";
import { Button, IconButton } from "~/shared/components/Button";
import { Confirm, Dialog } from "~/shared/components/Dialog";
import { ErrorNote } from "~/shared/components/states";
import { useT } from "~/shared/i18n";
import { type Judge, system } from "../api";
import { queries } from "../live";
import { Badge } from "../parts/Badge";
import { Card, INPUT, Labelled } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { toastError } from "../problems";
import { useStudioWords } from "../words";
import { useSystemWords } from "./words";

const KINDS = ["openai", "gemini", "gigachat", "anthropic", "local"];
const refresh = (): void => void queries.invalidateQueries({ queryKey: ["judges"] });

export function Judges() {
  const t = useSystemWords();
  const query = useQuery({ queryKey: ["judges"], queryFn: system.judges });
  const [edited, setEdited] = useState<Judge | "new" | null>(null);
  return (
    <Card title={t("judges")} aside={<Button icon={Plus} onClick={() => setEdited("new")}>{t("judge.add")}</Button>}>
      <p className="mb-3 text-muted">{t("judges.text")}</p>
      <Loaded query={query}>
        {(list) => list.length ? <ul className="flex flex-col gap-3">{list.map((one) => <Item key={one.id} judge={one} onEdit={() => setEdited(one)} />)}</ul> : <p>{t("judges.none")}</p>}
      </Loaded>
      {edited && <Editor judge={edited === "new" ? null : edited} onClose={() => setEdited(null)} />}
    </Card>
  );
}

function Item({ judge, onEdit }: { judge: Judge; onEdit: () => void }) {
  const t = useSystemWords();
  const [asking, setAsking] = useState(false);
  const test = useMutation({ mutationFn: () => system.testJudge(judge.id) });
  const remove = useMutation({ mutationFn: () => system.deleteJudge(judge.id), onSuccess: () => { setAsking(false); refresh(); }, onError: toastError });
  const said = test.error ? asErrorBody(test.error).message : test.data?.what;
  return (
    <li className="rounded-md border border-line p-3">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <span className="min-w-0 flex-1 basis-40"><span className="block font-medium">{judge.id}</span><span className="block truncate text-xs text-muted">{[judge.kind, judge.model, judge.base_url].filter(Boolean).join(" · ")}</span></span>
        {!judge.has_key && <Badge tone="warn" icon={KeyRound}>{t("judge.noKey", { name: judge.key_env })}</Badge>}
        <Button disabled={test.isPending} onClick={() => test.mutate()}>{t("test")}</Button>
        <IconButton label={`${t("judge.edit")}: ${judge.id}`} icon={Pencil} onClick={onEdit} />
        <IconButton label={t("judge.delete", { name: judge.id })} icon={Trash2} onClick={() => setAsking(true)} />
      </div>
      {said && <p role="status" className={`mt-2 break-words ${test.data?.ok ? "text-ok" : "text-warn"}`}>{said}</p>}
      {asking && <Confirm title={t("judge.delete", { name: judge.id })} text={t("judge.deleteText")} action={t("remove")} onConfirm={() => remove.mutate()} onClose={() => setAsking(false)} />}
    </li>
  );
}

function Editor({ judge, onClose }: { judge: Judge | null; onClose: () => void }) {
  const t = useSystemWords();
  const common = useStudioWords();
  const shared = useT();
  const id = useId();
  const [draft, setDraft] = useState({ id: judge?.id ?? "", kind: judge?.kind ?? "openai", model: judge?.model ?? "", base_url: judge?.base_url ?? "", key_env: judge?.key_env ?? "" });
  const set = (name: keyof typeof draft) => (event: { target: { value: string } }) => setDraft({ ...draft, [name]: event.target.value });
  const save = useMutation({
    mutationFn: () => system.setJudge(draft.id, { kind: draft.kind, model: draft.model, base_url: draft.base_url, key_env: draft.key_env }),
    onSuccess: () => { refresh(); onClose(); },
  });
  return (
    <Dialog title={judge ? `${t("judge.edit")}: ${judge.id}` : t("judge.add")} onClose={onClose}>
      <form className="flex flex-col gap-4 px-4 pb-4" onSubmit={(event) => { event.preventDefault(); save.mutate(); }}>
        <Labelled id={`${id}i`} label={t("judge.id")}><input id={`${id}i`} required pattern="[A-Za-z0-9][A-Za-z0-9._\-]*" disabled={judge !== null} className={INPUT} value={draft.id} onChange={set("id")} /></Labelled>
        <Labelled id={`${id}k`} label={t("judge.kind")}><select id={`${id}k`} className={INPUT} value={draft.kind} onChange={set("kind")}>{KINDS.map((one) => <option key={one}>{one}</option>)}</select></Labelled>
        <Labelled id={`${id}m`} label={t("judge.model")}><input id={`${id}m`} className={INPUT} value={draft.model} onChange={set("model")} /></Labelled>
        <Labelled id={`${id}u`} label={t("judge.url")} hint={t("judge.urlHint")}><input id={`${id}u`} type="url" className={INPUT} value={draft.base_url} onChange={set("base_url")} /></Labelled>
        <Labelled id={`${id}v`} label={t("judge.key")} hint={t("judge.keyHint")}><input id={`${id}v`} className={INPUT} value={draft.key_env} onChange={set("key_env")} /></Labelled>
        {save.error && <ErrorNote error={asErrorBody(save.error)} />}
        <div className="flex justify-end gap-2"><Button onClick={onClose}>{shared("cancel")}</Button><Button kind="primary" type="submit" disabled={save.isPending}>{common("save")}</Button></div>
      </form>
    </Dialog>
  );
}

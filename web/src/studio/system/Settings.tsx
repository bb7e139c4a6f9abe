/** All settings in force, changed in place. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Pencil, RotateCcw } from "lucide-react";
import { useId, useState } from "react";
import { Button, IconButton } from "~/shared/components/Button";
import { useT } from "~/shared/i18n";
import { type Setting, system } from "../api";
import { queries } from "../live";
import { Card, INPUT, Skeletons } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { toastError } from "../problems";
import { useStudioWords } from "../words";
import { useSystemWords } from "./words";

export function Settings() {
  const t = useSystemWords();
  const query = useQuery({ queryKey: ["settings"], queryFn: system.settings });
  return (
    <Card flush title={t("settings")}>
      <Loaded query={query} loading={<div className="px-4 pb-4"><Skeletons rows={5} className="h-8" /></div>}>
        {(list) => <ul>{list.filter(({ name }) => name !== "judges").map((one) => <Item key={one.name} setting={one} />)}</ul>}
      </Loaded>
    </Card>
  );
}

const shown = (value: unknown): string => (value === null || value === "" ? "–" : typeof value === "string" ? value : JSON.stringify(value));

/** What was typed, as the kind that the setting is of; a text that is none stays a text, and the server says what is wrong. */
function typed(text: string, before: unknown): unknown {
  if (typeof before === "string" || before === null) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function Item({ setting }: { setting: Setting }) {
  const t = useSystemWords();
  const common = useStudioWords();
  const shared = useT();
  const id = useId();
  const [text, setText] = useState<string | null>(null);
  const change = useMutation({
    mutationFn: (value: unknown) => system.change(setting.name, value), onError: toastError,
    onSuccess: (all) => { queries.setQueryData(["settings"], all); setText(null); },
  });
  const isEditing = text !== null;
  return (
    <li className="grid items-start gap-x-4 gap-y-1 border-t border-line px-4 py-2.5 sm:grid-cols-[14rem_minmax(0,1fr)_auto]">
      <div className="min-w-0">
        <label htmlFor={id} className="font-mono text-xs font-medium break-words">{setting.name}</label>
        <p className="text-xs text-pretty text-muted">{setting.description}</p>
      </div>
      {isEditing ? (
        <form className="flex min-w-0 flex-wrap gap-2" onSubmit={(event) => { event.preventDefault(); change.mutate(typed(text, setting.value)); }}>
          {typeof setting.value === "boolean" ? (
            <select id={id} autoFocus className={`${INPUT} w-auto!`} value={text} onChange={(event) => setText(event.target.value)}><option>true</option><option>false</option></select>
          ) : (
            <input id={id} autoFocus type={setting.is_secret ? "password" : "text"} autoComplete="off" className={`${INPUT} max-w-80`} value={text} onChange={(event) => setText(event.target.value)} />
          )}
          <Button kind="primary" type="submit" disabled={change.isPending}>{common("save")}</Button>
          <Button onClick={() => setText(null)}>{shared("cancel")}</Button>
        </form>
      ) : (
        <span id={id} className="min-w-0 py-1.5 break-words">{setting.is_secret ? (setting.is_set ? t("set") : t("notSet")) : shown(setting.value)}</span>
      )}
      {setting.is_fixed ? <span className="max-w-56 py-1.5 text-xs text-muted">{t("fixed", { name: setting.name })}</span> : !isEditing && (
        <span className="flex">
          {setting.is_set && <IconButton label={`${setting.is_secret ? t("remove") : t("reset")}: ${setting.name}`} icon={RotateCcw} disabled={change.isPending} onClick={() => change.mutate(null)} />}
          <IconButton label={`${setting.is_secret ? t("replace") : t("change")}: ${setting.name}`} icon={Pencil} onClick={() => setText(setting.is_secret ? "" : typeof setting.value === "string" ? setting.value : JSON.stringify(setting.value))} />
        </span>
      )}
    </li>
  );
}

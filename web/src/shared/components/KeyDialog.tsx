import { useState } from "react";
import { giveKey, keyPrompt } from "../api/key";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import { useT } from "../i18n";
import { useStore } from "../store";

export function KeyDialog() {
  const t = useT();
  const { open, refused } = useStore(keyPrompt, (s) => s);
  const [key, setKey] = useState("");
  if (!open) return null;
  return (
    <Dialog title={t("key.title")} onClose={() => undefined} hideTitle>
      <form className="flex flex-col gap-3 p-4" onSubmit={(event) => { event.preventDefault(); if (key.trim()) void giveKey(key); }}>
        <h2 className="text-base font-semibold">{t("key.title")}</h2>
        <p className="text-muted">{t("key.text")}</p>
        <input
          autoFocus
          type="password"
          autoComplete="off"
          aria-label={t("key.title")}
          aria-invalid={refused}
          className="h-10 rounded-md border border-line bg-page px-3"
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        {refused && <p role="alert" className="text-bad">{t("key.refused")}</p>}
        <Button kind="primary" type="submit" disabled={!key.trim()}>{t("key.use")}</Button>
      </form>
    </Dialog>
  );
}

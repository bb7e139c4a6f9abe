/** Everything by keyboard: ⌘K, a few letters, Enter. */
import { type LucideIcon, MessageSquare } from "lucide-react";
import { type KeyboardEvent, useEffect, useState } from "react";
import { useT } from "../i18n";
import { Dialog } from "./Dialog";

export interface Action {
  label: string;
  icon?: LucideIcon;
  run: () => void;
}

const MAX_SHOWN = 50;

/** Ctrl K or ⌘K, wherever the focus is. */
export function usePaletteKey(open: () => void): void {
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent): void => {
      if (event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey)) return;
      event.preventDefault();
      open();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });
}

export function Palette({ actions, onClose }: { actions: Action[]; onClose: () => void }) {
  const t = useT();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = actions.filter(({ label }) => words.every((word) => label.toLowerCase().includes(word))).slice(0, MAX_SHOWN);
  const run = (action: Action | undefined): void => {
    if (!action) return;
    onClose();
    action.run();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) setAt((at + step + found.length) % found.length);
    else if (event.key === "Enter") run(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog shape="top" hideTitle title={t("palette.title")} onClose={onClose}>
      <input
        autoFocus
        role="combobox"
        aria-expanded
        aria-controls="palette-list"
        aria-activedescendant={found[at] ? `palette-${at}` : undefined}
        aria-label={t("palette.title")}
        placeholder={t("palette.hint")}
        className="h-12 shrink-0 border-b border-line bg-transparent px-4 text-base focus:outline-none"
        value={text}
        onChange={(event) => { setText(event.target.value); setAt(0); }}
        onKeyDown={onKeyDown}
      />
      <ul id="palette-list" role="listbox" className="min-h-0 overflow-y-auto p-2">
        {!found.length && <li className="px-3 py-2 text-muted">{t("palette.none")}</li>}
        {found.map((action, index) => {
          const Icon = action.icon ?? MessageSquare;
          return (
            <li
              key={index}
              id={`palette-${index}`}
              role="option"
              aria-selected={index === at}
              ref={(node) => { if (index === at) node?.scrollIntoView({ block: "nearest" }); }}
              className={`flex cursor-pointer items-center gap-3 rounded-md px-3 py-2 ${index === at ? "bg-accent-soft text-accent-ink" : ""}`}
              onPointerMove={() => setAt(index)}
              onClick={() => run(action)}
            >
              <Icon size={16} aria-hidden className="shrink-0" />
              <span className="truncate">{action.label}</span>
            </li>
          );
        })}
      </ul>
    </Dialog>
  );
}

/** Where one writes: text, pictures, how to think, and how much of the context is taken. */
import { ArrowUp, Brain, ImagePlus, Square } from "lucide-react";
import { type ClipboardEvent, type DragEvent, type KeyboardEvent, useEffect, useLayoutEffect, useRef } from "react";
import type { Info } from "~/shared/api/types";
import { server } from "~/shared/api/server";
import { Menu } from "~/shared/components/Menu";
import { useT } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { picturesOf, usePictureInput } from "../pictures";
import { setSettings, useSettings } from "../settings";
import { ContextMeter } from "./ContextMeter";
import { Thumbnails } from "./Thumbnails";

export interface Draft {
  text: string;
  images: string[];
}

interface ComposerProps {
  info: Info;
  draft: Draft;
  onDraft: (draft: Draft) => void;
  onSend: (text: string, images: string[]) => void;
  writing: boolean;
  onStop: () => void;
}

export function Composer({ info, draft, onDraft, onSend, writing, onStop }: ComposerProps) {
  const t = useT();
  const area = useRef<HTMLTextAreaElement>(null);
  const ready = useStore(server, (s) => s.phase === "ready");
  const canSee = Boolean(info.capabilities.images);
  const add = (urls: string[]): void => onDraft({ ...draft, images: [...draft.images, ...urls] });
  const chooser = usePictureInput(add);
  const canSend = ready && !writing && (draft.text.trim() !== "" || draft.images.length > 0);

  useLayoutEffect(() => {
    const box = area.current!;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
  }, [draft.text]);
  useEffect(() => {
    // On a touch screen the keyboard would cover the page.
    if (matchMedia("(hover: hover)").matches) area.current?.focus();
  }, [draft.text === ""]);

  const send = (): void => {
    if (canSend) onSend(draft.text.trim(), draft.images);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    // Enter also ends the choice of a character in Chinese and Japanese input.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  const take = (event: ClipboardEvent | DragEvent, files: FileList | undefined): void => {
    if (!canSee || !files?.length) return;
    event.preventDefault();
    void picturesOf(files).then(add);
  };

  return (
    <form
      className="w-full shrink-0 px-4 pb-[max(1rem,env(safe-area-inset-bottom))]"
      onSubmit={(event) => { event.preventDefault(); send(); }}
      onDragOver={(event) => canSee && event.preventDefault()}
      onDrop={(event) => take(event, event.dataTransfer.files)}
    >
      <div className="mx-auto max-w-3xl rounded-lg border border-line bg-panel shadow-low transition-colors focus-within:border-line-strong">
        <Thumbnails className="px-3 pt-3" urls={draft.images} onRemove={(index) => onDraft({ ...draft, images: draft.images.filter((_, i) => i !== index) })} />
        <textarea
          ref={area}
          rows={1}
          aria-label={t("chat.placeholder")}
          placeholder={t(canSee ? "chat.placeholderSee" : "chat.placeholder")}
          className="block max-h-[40dvh] min-h-12 w-full resize-none bg-transparent px-4 pt-3 text-base focus:outline-none"
          value={draft.text}
          onChange={(event) => onDraft({ ...draft, text: event.target.value })}
          onKeyDown={onKeyDown}
          onPaste={(event) => take(event, event.clipboardData.files)}
        />
        <div className="flex items-center gap-1 p-2">
          {canSee && chooser.input}
          {canSee && (
            <button type="button" aria-label={t("picture.add")} title={t("picture.add")} onClick={chooser.open} className="grid size-9 place-items-center rounded-md text-muted hover:bg-raised hover:text-ink">
              <ImagePlus size={18} aria-hidden />
            </button>
          )}
          {info.capabilities.reasoning && <ThinkingMode info={info} />}
          <span className="flex-1" />
          <ContextMeter info={info} draft={draft.text} />
          <SendButton writing={writing} canSend={canSend} onStop={onStop} />
        </div>
      </div>
    </form>
  );
}

function SendButton({ writing, canSend, onStop }: { writing: boolean; canSend: boolean; onStop: () => void }) {
  const t = useT();
  const look = "grid size-9 shrink-0 place-items-center rounded-md transition-colors";
  if (writing) {
    return (
      <button type="button" aria-label={t("stop")} title={`${t("stop")} (Esc)`} onClick={onStop} className={`${look} bg-ink text-page hover:opacity-85`}>
        <Square size={14} fill="currentColor" aria-hidden />
      </button>
    );
  }
  return (
    <button type="submit" aria-label={t("send")} title={`${t("send")} (Enter)`} disabled={!canSend} className={`${look} ${canSend ? "bg-accent text-white hover:bg-accent-strong" : "bg-raised text-muted"}`}>
      <ArrowUp size={18} aria-hidden />
    </button>
  );
}

const MODES = ["auto", "on", "off"] as const;

function ThinkingMode({ info }: { info: Info }) {
  const t = useT();
  const settings = useSettings(info);
  const mode = MODES.find((one) => one === settings.reasoning_mode) ?? "auto";
  return (
    <Menu
      label={t("thinking.mode")}
      align="start"
      side="above"
      className={`flex h-9 items-center gap-1.5 rounded-md px-2.5 text-sm font-medium ${mode === "on" ? "bg-accent-soft text-accent-ink" : "text-muted hover:bg-raised hover:text-ink"}`}
      items={MODES.map((one) => ({
        label: t(`thinking.${one}`),
        note: t(`thinking.${one}Note`),
        checked: one === mode,
        onSelect: () => setSettings(info, { ...settings, reasoning_mode: one }),
      }))}
    >
      <Brain size={16} aria-hidden />
      {t(`thinking.${mode}`)}
    </Menu>
  );
}

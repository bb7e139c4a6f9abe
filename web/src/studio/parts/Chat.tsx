/** Talking with one model, or with two side by side that are asked the same. */
import { ArrowUp, Eraser, MessagesSquare, Square } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { IconButton } from "~/shared/components/Button";
import { Markdown } from "~/shared/components/Markdown";
import { ErrorNote } from "~/shared/components/states";
import { useT, wording } from "~/shared/i18n";
import { type Talk, useTalk, type Voice } from "./talk";

const { use: useChatWords } = wording(
  { ask: "Ask something", hint: "Enter sends, Shift + Enter begins a new line", empty: "Say something to begin", clear: "Begin anew", you: "You" },
  { ask: "Спросите что-нибудь", hint: "Enter отправляет, Shift + Enter начинает новую строку", empty: "Напишите что-нибудь, чтобы начать", clear: "Начать заново", you: "Вы" },
  { ask: "问点什么", hint: "Enter 发送，Shift + Enter 换行", empty: "输入内容开始对话", clear: "重新开始", you: "你" },
);

export function Chat({ className = "h-[28rem]", ...voice }: Voice & { className?: string }) {
  const talk = useTalk(voice);
  return (
    <div className={`flex min-h-0 flex-col ${className}`}>
      <Turns talk={talk} label={voice.model} />
      <Composer talks={[talk]} />
    </div>
  );
}

/** `voices` have titles, as "Base" and "Tuned". */
export function Duel({ voices }: { voices: [Voice & { title: string }, Voice & { title: string }] }) {
  const first = useTalk(voices[0]);
  const second = useTalk(voices[1]);
  return (
    <div className="flex flex-col">
      <div className="grid gap-px bg-line md:grid-cols-2">
        {[first, second].map((talk, index) => (
          <section key={index} className="flex h-80 min-h-0 flex-col bg-panel md:h-96" aria-label={voices[index]!.title}>
            <h3 className="px-4 pt-3 text-xs font-medium text-muted">{voices[index]!.title}</h3>
            <Turns talk={talk} label={voices[index]!.title} />
          </section>
        ))}
      </div>
      <Composer talks={[first, second]} />
    </div>
  );
}

function Turns({ talk, label }: { talk: Talk; label: string }) {
  const t = useChatWords();
  const foot = useRef<HTMLDivElement>(null);
  useEffect(() => { void foot.current?.scrollIntoView({ block: "nearest" }); }, [talk.turns]);
  return (
    <div className="min-h-0 flex-1 overflow-y-auto px-4 py-3" role="log" aria-label={label} tabIndex={0}>
      {!talk.turns.length && !talk.error && (
        <p className="flex h-full flex-col items-center justify-center gap-2 text-muted"><MessagesSquare size={20} aria-hidden />{t("empty")}</p>
      )}
      <div className="flex flex-col gap-3">
        {talk.turns.map(({ role, content }, index) =>
          role === "user" ? (
            <p key={index} aria-label={t("you")} className="max-w-[85%] self-end rounded-lg bg-accent-soft px-3 py-2 break-words whitespace-pre-wrap">{content}</p>
          ) : (
            <div key={index} className="max-w-full min-w-0 break-words">
              {content ? <Markdown text={content} /> : <span className="breathe inline-block h-4 w-2 rounded-sm bg-muted" />}
            </div>
          ),
        )}
        {talk.error && <ErrorNote error={talk.error} />}
        <div ref={foot} />
      </div>
    </div>
  );
}

function Composer({ talks }: { talks: Talk[] }) {
  const t = useChatWords();
  const shared = useT();
  const [text, setText] = useState("");
  const busy = talks.some((talk) => talk.busy);
  const send = (): void => {
    if (!text.trim() || busy) return;
    for (const talk of talks) void talk.send(text.trim());
    setText("");
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <div className="flex items-end gap-2 border-t border-line p-3">
      <IconButton label={t("clear")} icon={Eraser} disabled={busy || !talks[0]!.turns.length} onClick={() => talks.forEach((talk) => talk.clear())} />
      <textarea
        aria-label={t("ask")}
        placeholder={t("ask")}
        title={t("hint")}
        rows={Math.min(6, text.split("\n").length)}
        className="min-h-9 min-w-0 flex-1 resize-none rounded-md border border-line bg-page px-3 py-2 focus:border-accent focus:outline-none"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {busy ? (
        <IconButton kind="plain" label={shared("stop")} icon={Square} onClick={() => talks.forEach((talk) => talk.stop())} />
      ) : (
        <IconButton kind="primary" label={shared("send")} icon={ArrowUp} disabled={!text.trim()} onClick={send} />
      )}
    </div>
  );
}

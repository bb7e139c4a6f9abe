/** The model page: what it shows follows from what the server says of its model. */
import { SlidersHorizontal, SquarePen } from "lucide-react";
import { type ComponentType, useEffect, useState } from "react";
import { server } from "~/shared/api/server";
import type { Info } from "~/shared/api/types";
import { KeyDialog } from "~/shared/components/KeyDialog";
import { type Action, Palette, usePaletteKey } from "~/shared/components/Palette";
import { ErrorNote } from "~/shared/components/states";
import { pageActions } from "~/shared/components/Switches";
import { Toasts } from "~/shared/components/Toasts";
import { currentLanguage, useT } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { AudioPage } from "./audio/AudioPage";
import { chats, openChat, startChat } from "./chat/chats";
import { ChatPage } from "./chat/ChatPage";
import { ClassifierPage } from "./classifier/ClassifierPage";
import { DocumentPage } from "./document/DocumentPage";
import { EmbeddingPage } from "./embedding/EmbeddingPage";
import { familyTitle, type View, viewOf } from "./families";
import { Header } from "./Header";
import { ImagePage } from "./image/ImagePage";
import { togglePanel } from "./panels";
import { ServerScreen, ServerStrip } from "./ServerScreens";
import { BASE, setAdapters } from "./settings";
import { VisionPage } from "./vision/VisionPage";

const PAGES: Record<Exclude<View, "none">, ComponentType<{ info: Info }>> = {
  chat: ChatPage,
  image: ImagePage,
  embedding: EmbeddingPage,
  classifier: ClassifierPage,
  vision: VisionPage,
  document: DocumentPage,
  audio: AudioPage,
};

export function App() {
  const state = useStore(server, (s) => s);
  useT();
  useEffect(() => {
    document.documentElement.lang = currentLanguage();
    if (state.info) document.title = `${state.info.id} · lorasmith`;
  });
  return (
    <div className="flex h-dvh flex-col">
      {state.info ? <Ready info={state.info} /> : <ServerScreen state={state} />}
      <KeyDialog />
      <Toasts />
    </div>
  );
}

function Ready({ info }: { info: Info }) {
  const t = useT();
  const state = useStore(server, (s) => s);
  const [palette, setPalette] = useState(false);
  const view = viewOf(info);
  const isChat = view === "chat";

  usePaletteKey(() => setPalette(true));
  useEffect(() => {
    const asked = new URLSearchParams(location.search).get("adapter");
    if (asked && (asked === BASE || info.adapters.some(({ name }) => name === asked))) setAdapters(info, [asked]);
  }, [info.id]); // once: then the reader chooses

  const Page = view === "none" ? null : PAGES[view];
  return (
    <>
      <Header info={info} hasSidebar={isChat} hasSettings={view !== "image" && view !== "none"} onPalette={() => setPalette(true)} />
      <ServerStrip state={state} />
      <main className="flex min-h-0 flex-1 flex-col">
        {Page ? (
          <Page info={info} />
        ) : (
          <div className="m-auto max-w-md p-4">
            <ErrorNote error={{ message: t("app.noView", { family: familyTitle(info.family, t) }), hint: t("app.noViewHint") }} />
          </div>
        )}
      </main>
      {palette && <Palette actions={actionsFor(isChat, t)} onClose={() => setPalette(false)} />}
    </>
  );
}

function actionsFor(isChat: boolean, t: ReturnType<typeof useT>): Action[] {
  const chat: Action[] = [
    { label: t("chat.new"), icon: SquarePen, run: startChat },
    ...chats.get().list.map(({ id, title }) => ({ label: title, run: () => openChat(id) })),
  ];
  const all: Action[] = [
    { label: t("settings.title"), icon: SlidersHorizontal, run: () => togglePanel("settings") },
    ...pageActions(t),
  ];
  return isChat ? [chat[0]!, ...all, ...chat.slice(1)] : all;
}

/** Texts as points: which lie close to each other, and which are like a question. */
import { Download, FileUp, ImagePlus, Waypoints } from "lucide-react";
import { useRef, useState } from "react";
import type { Info } from "~/shared/api/types";
import { Button } from "~/shared/components/Button";
import { Menu } from "~/shared/components/Menu";
import { Empty, ErrorNote } from "~/shared/components/states";
import { Tabs } from "~/shared/components/Tabs";
import { formatNumber, useT } from "~/shared/i18n";
import { Thumbnails } from "../chat/Thumbnails";
import { DropArea } from "../DropArea";
import { picturesOf } from "../pictures";
import { RunButton } from "../RunButton";
import { useCallFields } from "../settings";
import { SplitPage, TextField } from "../SplitPage";
import { useCall } from "../useCall";
import { type Embedded, saveCsv, saveJson, saveNpy } from "./exports";
import { HeatMap } from "./HeatMap";
import { MapView } from "./MapView";
import { SearchView } from "./SearchView";

interface Result {
  embeddings: number[][];
  dimensions: number;
}

type View = "map" | "search" | "heat";

interface Picture {
  name: string;
  url: string;
}

/** Of one request. */
const MAX_PICTURES = 64;

export function EmbeddingPage({ info }: { info: Info }) {
  const t = useT();
  const fields = useCallFields(info);
  const call = useCall<Result>();
  const [text, setText] = useState("");
  const [embedded, setEmbedded] = useState<Embedded | null>(null);
  const [view, setView] = useState<View>("map");
  const file = useRef<HTMLInputElement>(null);
  const texts = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const [pictures, setPictures] = useState<Picture[]>([]);
  const canSee = Boolean(info.capabilities.images);
  const hasSome = texts.length > 0 || pictures.length > 0;
  const run = async (): Promise<void> => {
    const vectors: number[][] = [];
    for (let at = 0; at < Math.max(pictures.length, Math.min(1, texts.length)); at += MAX_PICTURES) {
      const images = pictures.slice(at, at + MAX_PICTURES).map(({ url }) => url);
      const result = await call.run({ ...fields, texts: at ? [] : texts, ...(images.length ? { images } : {}) });
      if (!result) return;
      vectors.push(...result.embeddings);
    }
    if (!vectors.length) return;
    setEmbedded({ texts: [...texts, ...pictures.map(({ name }) => name)], pictures: [...texts.map(() => undefined), ...pictures.map(({ url }) => url)], vectors });
  };
  const take = async (files: File[]): Promise<void> => {
    const urls = await picturesOf(files);
    setPictures((before) => [...before, ...urls.map((url, i) => ({ url, name: files[i]?.name ?? "" }))]);
  };
  const sample = { label: t("embed.sampleLabel"), onSelect: () => setText(t("sample.embed")) };
  const tabs = (["map", "search", "heat"] as const).map((name) => ({ name, title: t(`embed.${name}`) }));
  return (
    <SplitPage
      info={info}
      onSubmit={() => void run()}
      input={
        <>
          <TextField label={t("class.texts")} note={formatNumber(texts.length)} rows={canSee ? 8 : 14} placeholder={t("perLine")} value={text} onChange={setText} onSubmit={() => void run()} />
          <input ref={file} type="file" accept=".txt,.csv,text/*" hidden onChange={(event) => { void event.target.files?.[0]?.text().then(setText); event.target.value = ""; }} />
          <Button kind="quiet" icon={FileUp} className="self-start" onClick={() => file.current?.click()}>{t("embed.file")}</Button>
          {canSee && (
            <>
              <DropArea label={t("embed.pictures")} accept="image/*" icon={ImagePlus} multiple onFiles={(files) => void take(files)} />
              {pictures.length > 0 && <Thumbnails urls={pictures.map(({ url }) => url)} onRemove={(index) => setPictures(pictures.filter((_, i) => i !== index))} />}
            </>
          )}
          <RunButton label={t("embed.run")} icon={Waypoints} disabled={!hasSome} call={call} />
        </>
      }
    >
      {call.error && <ErrorNote error={call.error} onRetry={() => void run()} />}
      {embedded ? (
        <>
          <div className="flex flex-wrap items-center gap-3">
            <Tabs label={t("embed.views")} tabs={tabs} chosen={view} onChoose={setView} />
            <span className="text-xs text-muted tabular-nums">
              {formatNumber(embedded.texts.length)} × {formatNumber(embedded.vectors[0]?.length ?? 0)}
            </span>
            <span className="ml-auto"><Exports embedded={embedded} /></span>
          </div>
          {view === "map" && <MapView embedded={embedded} />}
          {view === "search" && <SearchView info={info} embedded={embedded} />}
          {view === "heat" && <HeatMap embedded={embedded} />}
        </>
      ) : (
        !call.error && <Empty icon={Waypoints} title={t(canSee ? "embed.emptyTitleSee" : "embed.emptyTitle")} text={t(canSee ? "embed.emptyTextSee" : "embed.emptyText")} samples={[sample]} />
      )}
    </SplitPage>
  );
}

function Exports({ embedded }: { embedded: Embedded }) {
  const t = useT();
  return (
    <Menu
      label={t("export")}
      className="inline-flex h-9 items-center gap-2 rounded-md border border-line bg-panel px-3 font-medium hover:bg-raised"
      items={[
        { label: "JSON", onSelect: () => saveJson(embedded) },
        { label: "CSV", onSelect: () => saveCsv(embedded) },
        { label: "NPY (NumPy)", onSelect: () => saveNpy(embedded) },
      ]}
    >
      <Download size={16} aria-hidden />
      {t("export")}
    </Menu>
  );
}

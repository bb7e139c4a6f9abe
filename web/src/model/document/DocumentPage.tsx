/** Pages as pictures in; text, fields and words with their places out. */
import { FileScan, ImagePlus } from "lucide-react";
import { useState } from "react";
import type { Info } from "~/shared/api/types";
import { Button } from "~/shared/components/Button";
import { Empty, ErrorNote } from "~/shared/components/states";
import { Tabs } from "~/shared/components/Tabs";
import { useT } from "~/shared/i18n";
import { Thumbnails } from "../chat/Thumbnails";
import { DropArea } from "../DropArea";
import { isPdf, pagesOf } from "../pictures";
import { RunButton } from "../RunButton";
import { useCallFields } from "../settings";
import { SplitPage, TextField } from "../SplitPage";
import { useCall } from "../useCall";
import { PageView, type Read } from "./PageView";

/** What there is to look at: what was read, page by page, or what is to be read. */
function sheetsOf(files: string[], results: Read[] | undefined): { url: string; read?: Read }[] {
  if (!results) return files.filter((url) => !isPdf(url)).map((url) => ({ url }));
  return results.map((read, index) => ({
    read, url: read.picture ? `data:${read.picture.type};base64,${read.picture.data}` : files[read.file ?? index] ?? "",
  }));
}

export function DocumentPage({ info }: { info: Info }) {
  const t = useT();
  const fields = useCallFields(info);
  const call = useCall<{ results: Read[] }>();
  const [pages, setPages] = useState<string[]>([]);
  const [prompt, setPrompt] = useState("");
  const [shown, setShown] = useState("0");
  const run = (images = pages): void => {
    if (images.length) void call.run({ ...fields, images, ...(prompt.trim() ? { prompt: prompt.trim() } : {}) });
  };
  const change = (next: string[]): void => {
    call.clear();
    setPages(next);
    setShown("0");
  };
  const sheets = sheetsOf(pages, call.result?.results);
  const at = Math.min(Number(shown), sheets.length - 1);
  const sheet = sheets[at];
  return (
    <SplitPage
      info={info}
      onSubmit={() => run()}
      input={
        <>
          <DropArea label={t("document.drop")} accept="image/*,application/pdf" icon={ImagePlus} multiple onFiles={(files) => void pagesOf(files).then((urls) => change([...pages, ...urls]))} />
          <Thumbnails urls={pages} onRemove={(index) => change(pages.filter((_, i) => i !== index))} />
          <TextField label={t("document.prompt")} rows={2} placeholder={t("document.promptHint")} value={prompt} onChange={setPrompt} onSubmit={run} />
          <RunButton label={t("document.run")} icon={FileScan} disabled={!pages.length} call={call} />
        </>
      }
    >
      {call.error && <ErrorNote error={call.error} onRetry={() => run()} />}
      {sheets.length > 1 && <Tabs label={t("document.pages")} tabs={sheets.map((_, i) => ({ name: String(i), title: String(i + 1) }))} chosen={String(at)} onChoose={setShown} />}
      {sheet ? (
        <PageView key={at} url={sheet.url} read={sheet.read} />
      ) : (
        <Empty icon={FileScan} title={t("document.emptyTitle")} text={t("document.emptyText")}>
          <Button kind="primary" icon={ImagePlus} onClick={() => document.querySelector<HTMLInputElement>("input[type=file]")?.click()}>{t("picture.choose")}</Button>
        </Empty>
      )}
    </SplitPage>
  );
}

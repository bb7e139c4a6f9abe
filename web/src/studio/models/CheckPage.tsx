/** Whether a model fits this machine, and all that is known of it before a byte of its weights is fetched. */
import { ScanSearch } from "lucide-react";
import { useState } from "react";
import { Link, useSearch } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { Button } from "~/shared/components/Button";
import { Empty } from "~/shared/components/states";
import { Card, INPUT, Page, PageHead, Skeletons } from "../parts/layout";
import { TEXT_LINK } from "../parts/links";
import { Loaded } from "../parts/Loaded";
import { useCheck } from "../train/hooks";
import { useCheckWords } from "./checkWords";
import { checkPath, SAMPLES } from "./paths";
import { reportOf } from "./report";
import { ReportView } from "./ReportView";

export function CheckPage() {
  const t = useCheckWords();
  const asked = new URLSearchParams(useSearch()).get("model")?.trim() ?? "";
  return (
    <Page>
      <div>
        <Link href="/models" className={TEXT_LINK}>{t("models")}</Link>
        <div className="mt-2"><PageHead title={t("title")} text={t("lead")} /></div>
      </div>
      <Ask key={asked} asked={asked} />
      {asked ? <Checked key={`report ${asked}`} model={asked} /> : (
        <Card>
          <Empty
            icon={ScanSearch}
            title={t("empty.title")}
            text={t("empty.text")}
            samples={["demo", ...SAMPLES].map((model) => ({ label: model, onSelect: () => navigate(checkPath(model)) }))}
          />
        </Card>
      )}
    </Page>
  );
}

function Ask({ asked }: { asked: string }) {
  const t = useCheckWords();
  const [text, setText] = useState(asked);
  const wanted = text.trim();
  return (
    <form
      className="flex flex-wrap items-end gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (wanted) navigate(checkPath(wanted));
      }}
    >
      <div className="min-w-0 flex-1 basis-64">
        <label htmlFor="model" className="mb-1 block font-medium">{t("ask")}</label>
        <input
          id="model"
          autoFocus={!asked}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          placeholder="owner/name"
          aria-describedby="model-hint"
          className={INPUT}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      <Button kind="primary" type="submit" icon={ScanSearch} disabled={!wanted}>{t("check")}</Button>
      <p id="model-hint" className="basis-full text-xs text-muted">{t("ask.hint")}</p>
    </form>
  );
}

function Checked({ model }: { model: string }) {
  const query = useCheck(model);
  return (
    <Loaded query={query} loading={<Loading />}>
      {(check) => <ReportView report={reportOf(check)} asked={model} onAgain={() => void query.refetch()} isAgain={query.isFetching} />}
    </Loaded>
  );
}

function Loading() {
  const t = useCheckWords();
  return (
    <>
      <p role="status" className="text-muted">{t("loading")}</p>
      <Card><Skeletons rows={2} className="h-8" /></Card>
      <Card><Skeletons rows={5} className="h-9" /></Card>
      <div className="grid gap-4 md:grid-cols-2 xl:grid-cols-3">
        {[0, 1, 2].map((index) => <Card key={index}><Skeletons rows={4} className="h-5" /></Card>)}
      </div>
    </>
  );
}

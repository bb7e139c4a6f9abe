/** Models that are here, their adapters, and the way to more of them. */
import { Boxes, FolderSearch, ScanSearch } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { Empty, ErrorNote } from "~/shared/components/states";
import { Elsewhere } from "../adapters/Elsewhere";
import { OllamaCard } from "../adapters/OllamaCard";
import { useAdapterWords } from "../adapters/words";
import type { Adapter, Model } from "../api";
import { Card, Page, PageHead, Skeletons } from "../parts/layout";
import { BUTTON_LINK, TEXT_LINK } from "../parts/links";
import { Loaded } from "../parts/Loaded";
import { useAdapters, useModels } from "../train/hooks";
import { orphansOf } from "./adapters";
import { AdapterTree, type TreeProps } from "./AdapterTree";
import { Comparing } from "./Comparing";
import { HubSearch } from "./HubSearch";
import { Installs } from "./Installs";
import { ModelCards } from "./ModelCards";
import { checkPath, SAMPLES } from "./paths";
import { useModelsWords } from "./words";

export function ModelsPage() {
  const t = useModelsWords();
  const say = useAdapterWords();
  const [looks, setLooks] = useState(false);
  const query = useModels();
  const adapters = useAdapters();
  return (
    <Page>
      <PageHead title={t("title")} text={t("lead")}>
        <Button icon={FolderSearch} onClick={() => setLooks(true)}>{say("elsewhere")}</Button>
        <Link href="/models/check" className={BUTTON_LINK}><ScanSearch size={16} aria-hidden />{t("checkOne")}</Link>
      </PageHead>
      <HubSearch installed={query.data ?? []} />
      <Installs />
      <section aria-labelledby="installed" className="flex min-w-0 flex-col gap-3">
        <h2 id="installed" className="font-semibold">{t("installed")}</h2>
        {query.data && adapters.error && <ErrorNote error={asErrorBody(adapters.error)} onRetry={() => void adapters.refetch()} />}
        <Loaded query={query} loading={<Loading />}>
          {(all) => <Everything all={all} adapters={adapters.data} />}
        </Loaded>
      </section>
      <OllamaCard />
      {looks && <Elsewhere onClose={() => setLooks(false)} />}
    </Page>
  );
}

function Loading() {
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      {[0, 1].map((index) => <Card key={index}><Skeletons rows={2} className="h-12" /></Card>)}
    </div>
  );
}

/** `adapters` is undefined until they are known. */
function Everything({ all, adapters }: { all: Model[]; adapters: Adapter[] | undefined }) {
  const t = useModelsWords();
  const [marked, setMarked] = useState<string[]>([]);
  const compared = marked.map((path) => adapters?.find((one) => one.path === path)).filter((one) => one !== undefined);
  const tree = {
    chosen: compared.map(({ path }) => path),
    onToggle: (path: string) => setMarked((before) => (before.includes(path) ? before.filter((one) => one !== path) : [...before, path])),
  };
  return (
    <>
      {all.length > 0 ? <ModelCards all={all} adapters={adapters} {...tree} /> : (
        <Card>
          <Empty
            icon={Boxes}
            title={t("empty.title")}
            text={t("empty.text")}
            samples={SAMPLES.map((model) => ({ label: t("empty.sample", { model }), onSelect: () => navigate(checkPath(model)) }))}
          />
        </Card>
      )}
      {adapters && <Orphans all={all} adapters={adapters} {...tree} />}
      <Comparing adapters={compared} onClear={() => setMarked([])} />
    </>
  );
}

/** What was trained on models that are not here. */
function Orphans({ all, adapters, ...tree }: TreeProps & { all: Model[] }) {
  const t = useModelsWords();
  const orphans = orphansOf(adapters, all);
  if (!orphans.length) return null;
  return (
    <Card title={t("orphans")}>
      <p className="mb-3 max-w-prose text-pretty text-muted">{t("orphans.text")}</p>
      <div className="grid items-start gap-x-8 gap-y-4 lg:grid-cols-2">
        {orphans.map(({ base, adapters: theirs }) => (
          <div key={base} className="min-w-0">
            <p className="flex min-h-9 flex-wrap items-center gap-x-3">
              <span className="min-w-0 font-medium [overflow-wrap:anywhere]">{base || t("base.unknown")}</span>
              {base && <Link href={checkPath(base)} className={TEXT_LINK}>{t("check")}</Link>}
            </p>
            <AdapterTree adapters={theirs} {...tree} />
          </div>
        ))}
      </div>
    </Card>
  );
}

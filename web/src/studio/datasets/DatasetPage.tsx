/** One version of a dataset. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Download, Hammer, Scissors, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import { Button } from "~/shared/components/Button";
import { Confirm, Dialog } from "~/shared/components/Dialog";
import { ErrorNote } from "~/shared/components/states";
import { Tabs } from "~/shared/components/Tabs";
import { toast } from "~/shared/components/Toasts";
import { formatBytes, formatNumber, useT } from "~/shared/i18n";
import { type Dataset, datasets } from "../api";
import { queries } from "../live";
import { INPUT, Labelled, Page, PageHead, Skeletons } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { noteOf, toastError } from "../problems";
import { useStudioWords } from "../words";
import { StateBadge, useDatasets } from "./DatasetsPage";
import { RowTable } from "./RowTable";
import { SeenRows } from "./SeenRows";
import { Statistics } from "./Statistics";
import { useDatasetWords } from "./words";

const ASK_MS = 1500;
const TABS = ["table", "seen", "statistics"] as const;
type TabName = (typeof TABS)[number];

export function DatasetPage({ id }: { id: number }) {
  const query = useQuery({
    queryKey: ["dataset", id], queryFn: () => datasets.one(id), refetchInterval: ({ state }) => (state.data && !state.data.is_read ? ASK_MS : false),
  });
  return (
    <Page wide>
      <Loaded query={query} loading={<Skeletons rows={4} className="h-20" />}>{(dataset) => <Shown dataset={dataset} />}</Loaded>
    </Page>
  );
}

function Shown({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  const common = useStudioWords();
  const [params, setParams] = useSearchParams();
  const chosen = TABS.find((name) => name === params.get("tab")) ?? "table";
  const facts = [dataset.is_folder ? t("folder") : "", dataset.format, dataset.is_read && !dataset.error ? common("rows", { n: formatNumber(dataset.num_rows) }) : "", formatBytes(dataset.num_bytes)];
  return (
    <>
      <PageHead title={dataset.name} note={<><Versions dataset={dataset} /><StateBadge dataset={dataset} /></>} text={facts.filter(Boolean).join(" · ")}>
        <Actions dataset={dataset} />
      </PageHead>
      {dataset.error && <ErrorNote error={noteOf(dataset.error)} />}
      <Tabs<TabName> label={dataset.name} tabs={TABS.map((name) => ({ name, title: t(name) }))} chosen={chosen} onChoose={(name) => setParams(name === "table" ? {} : { tab: name }, { replace: true })} />
      {chosen === "table" && <RowTable dataset={dataset} />}
      {chosen === "seen" && <SeenRows dataset={dataset} />}
      {chosen === "statistics" && <Statistics dataset={dataset} />}
    </>
  );
}

function Versions({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  const [, navigate] = useLocation();
  const { data: all = [] } = useDatasets();
  const versions = all.filter(({ name }) => name === dataset.name);
  if (versions.length < 2) return <span className="text-muted">{t("version", { n: dataset.version })}</span>;
  return (
    <select aria-label={t("version", { n: "" })} className={`${INPUT} w-auto!`} value={dataset.id} onChange={(event) => navigate(`/datasets/${event.target.value}`)}>
      {versions.map(({ id, version }) => <option key={id} value={id}>{t("version", { n: version })}</option>)}
    </select>
  );
}

const LINK = "inline-flex h-9 items-center justify-center gap-2 rounded-md px-3 font-medium whitespace-nowrap transition-colors";

function Actions({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  const common = useStudioWords();
  const [, navigate] = useLocation();
  const [open, setOpen] = useState<"split" | "delete" | null>(null);
  const remove = useMutation({
    mutationFn: () => datasets.delete(dataset.id), onError: toastError,
    onSuccess: () => { void queries.invalidateQueries({ queryKey: ["datasets"] }); navigate("/datasets"); },
  });
  const usable = dataset.is_read && !dataset.error;
  return (
    <>
      {usable && <Link href={`/train?dataset=${dataset.id}`} className={`${LINK} bg-accent text-white hover:bg-accent-strong`}><Hammer size={16} aria-hidden />{t("train")}</Link>}
      <a href={datasets.filePath(dataset.id)} download className={`${LINK} border border-line bg-panel hover:bg-raised`}><Download size={16} aria-hidden />{common("download")}</a>
      {usable && !dataset.is_folder && <Button icon={Scissors} onClick={() => setOpen("split")}>{t("split")}</Button>}
      <Button icon={Trash2} onClick={() => setOpen("delete")}>{t("delete")}</Button>
      {open === "split" && <Split dataset={dataset} onClose={() => setOpen(null)} />}
      {open === "delete" && (
        <Confirm title={t("delete.title", { n: dataset.version, name: dataset.name })} text={t("delete.text")} action={t("delete")} onConfirm={() => remove.mutate()} onClose={() => setOpen(null)} />
      )}
    </>
  );
}

function Split({ dataset, onClose }: { dataset: Dataset; onClose: () => void }) {
  const t = useDatasetWords();
  const shared = useT();
  const id = useId();
  const [share, setShare] = useState(10);
  const [seed, setSeed] = useState(0);
  const [, navigate] = useLocation();
  const split = useMutation({
    mutationFn: () => datasets.split(dataset.id, share / 100, seed), onError: toastError,
    onSuccess: ([larger, held]) => {
      void queries.invalidateQueries({ queryKey: ["datasets"] });
      toast(t("split.done", { a: larger.name, b: held.name }));
      onClose();
      navigate("/datasets");
    },
  });
  return (
    <Dialog title={t("split.title", { name: dataset.name })} onClose={onClose}>
      <form className="flex flex-col gap-4 px-4 pb-4" onSubmit={(event) => { event.preventDefault(); split.mutate(); }}>
        <p className="text-muted">{t("split.text")}</p>
        <Labelled id={`${id}s`} label={t("split.share")}><input id={`${id}s`} type="number" min={1} max={99} required className={INPUT} value={share} onChange={(event) => setShare(event.target.valueAsNumber)} /></Labelled>
        <Labelled id={`${id}d`} label={t("split.seed")}><input id={`${id}d`} type="number" min={0} required className={INPUT} value={seed} onChange={(event) => setSeed(event.target.valueAsNumber)} /></Labelled>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{shared("cancel")}</Button>
          <Button kind="primary" type="submit" disabled={split.isPending}>{t("split.do")}</Button>
        </div>
      </form>
    </Dialog>
  );
}

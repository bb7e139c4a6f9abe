/** All datasets: the newest version of each name, older ones folded beneath. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Check, CircleAlert, Database, FlaskConical, LoaderCircle, TriangleAlert, Upload, X } from "lucide-react";
import { type DragEvent, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { Button, IconButton } from "~/shared/components/Button";
import { Fold } from "~/shared/components/Fold";
import { Empty, Progress } from "~/shared/components/states";
import { formatAgo, formatBytes, formatMoment, formatNumber, useT } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { type Dataset, datasets } from "../api";
import { queries } from "../live";
import { Badge } from "../parts/Badge";
import { Card, INPUT, Page, PageHead } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { toastError } from "../problems";
import { useStudioWords } from "../words";
import { stopUpload, uploadAll, uploads } from "./uploads";
import { useDatasetWords } from "./words";

const ASK_MS = 2000;

/** Asks again by itself while something is being read. */
export const useDatasets = () =>
  useQuery({ queryKey: ["datasets"], queryFn: datasets.list, refetchInterval: ({ state }) => (state.data?.some(({ is_read }) => !is_read) ? ASK_MS : false) });

export function DatasetsPage() {
  const t = useDatasetWords();
  const common = useStudioWords();
  const [, navigate] = useLocation();
  const [text, setText] = useState("");
  const [over, setOver] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const query = useDatasets();
  const sample = useMutation({
    mutationFn: datasets.sample, onError: toastError,
    onSuccess: ({ id }) => { void queries.invalidateQueries({ queryKey: ["datasets"] }); navigate(`/datasets/${id}`); },
  });
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    void uploadAll([...event.dataTransfer.files]);
  };
  return (
    <div
      className={`min-h-full ${over ? "bg-accent-soft" : ""}`}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }}
      onDragLeave={(event) => { if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false); }}
      onDrop={onDrop}
    >
      <Page>
        <PageHead title={t("title")} text={t("text")}>
          <Button kind="primary" icon={Upload} onClick={() => picker.current?.click()}>{t("upload")}</Button>
          <input ref={picker} type="file" multiple hidden aria-label={t("upload")} onChange={(event) => { void uploadAll([...(event.target.files ?? [])]); event.target.value = ""; }} />
        </PageHead>
        <UploadStrip />
        <Loaded query={query}>
          {(list) => {
            const groups = grouped(list.filter(({ name }) => name.toLowerCase().includes(text.toLowerCase())));
            if (!list.length) {
              return (
                <Empty icon={Database} title={t("empty.title")} text={t("empty.text")}>
                  <p className="text-muted">{t("drop")}</p>
                  <Button icon={FlaskConical} disabled={sample.isPending} onClick={() => sample.mutate()}>{t("sample")}</Button>
                </Empty>
              );
            }
            return (
              <>
                <div className="flex flex-wrap items-center justify-between gap-2">
                  <input type="search" aria-label={common("search")} placeholder={common("search")} className={`${INPUT} max-w-72`} value={text} onChange={(event) => setText(event.target.value)} />
                  <span className="hidden text-xs text-muted sm:inline">{t("drop")}</span>
                </div>
                {groups.length ? <Card flush>{groups.map((versions) => <Group key={versions[0]!.name} versions={versions} />)}</Card> : <p className="text-muted">{t("none")}</p>}
              </>
            );
          }}
        </Loaded>
      </Page>
    </div>
  );
}

function grouped(list: Dataset[]): Dataset[][] {
  const groups = new Map<string, Dataset[]>();
  for (const one of list) groups.set(one.name, [...(groups.get(one.name) ?? []), one]);
  return [...groups.values()];
}

function UploadStrip() {
  const t = useDatasetWords();
  const shared = useT();
  const { name, sent, total } = useStore(uploads, (u) => u);
  if (!name) return null;
  const said = sent < total ? t("upload.sending", { name, sent: formatBytes(sent), total: formatBytes(total) }) : t("upload.reading", { name });
  return (
    <Card>
      <div className="flex items-center justify-between gap-3">
        <span className="min-w-0 truncate" role="status">{said}</span>
        <IconButton label={shared("cancel")} icon={X} onClick={stopUpload} />
      </div>
      <Progress label={said} done={sent} total={sent < total ? total : null} />
    </Card>
  );
}

export function StateBadge({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  if (!dataset.is_read) return <Badge icon={LoaderCircle}>{t("reading")}</Badge>;
  if (dataset.error) return <Badge tone="bad" icon={CircleAlert} title={dataset.error.what}>{t("unusable")}</Badge>;
  const notes = dataset.facts.findings?.filter(({ level }) => level !== "note").length ?? 0;
  return notes ? <Badge tone="warn" icon={TriangleAlert}>{t("problems", { n: notes })}</Badge> : <Badge tone="ok" icon={Check}>{t("ok")}</Badge>;
}

function Group({ versions }: { versions: Dataset[] }) {
  const t = useDatasetWords();
  const [newest, ...older] = versions;
  return (
    <div className="border-b border-line last:border-0">
      <Item dataset={newest!} />
      {older.length > 0 && (
        <div className="px-4 pb-2 text-xs">
          <Fold title={t("versions", { n: versions.length })}>
            <div className="-mx-4">{older.map((one) => <Item key={one.id} dataset={one} />)}</div>
          </Fold>
        </div>
      )}
    </div>
  );
}

function Item({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  const common = useStudioWords();
  return (
    <Link href={`/datasets/${dataset.id}`} className="flex flex-wrap items-center gap-x-4 gap-y-1 px-4 py-3 text-sm transition-colors hover:bg-raised">
      <span className="min-w-0 flex-1 basis-48">
        <span className="block truncate font-medium" title={dataset.name}>{dataset.name}</span>
        <span className="block text-xs text-muted">
          {[t("version", { n: dataset.version }), dataset.format, dataset.is_read && !dataset.error ? common("rows", { n: formatNumber(dataset.num_rows) }) : "", formatBytes(dataset.num_bytes)].filter(Boolean).join(" · ")}
        </span>
      </span>
      <StateBadge dataset={dataset} />
      <time dateTime={dataset.created_at} title={formatMoment(dataset.created_at)} className="w-28 shrink-0 text-right text-xs text-muted">{formatAgo(dataset.created_at)}</time>
    </Link>
  );
}

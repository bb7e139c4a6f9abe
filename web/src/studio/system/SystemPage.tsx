/** The machine, the doctor, settings, judges, trackers, who changed what. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Check, CircleAlert, Stethoscope, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { formatAgo, formatBytes, formatMoment, formatNumber } from "~/shared/i18n";
import { type DoctorFinding, system, type System } from "../api";
import { Badge } from "../parts/Badge";
import { Card, Facts, Page, PageHead, Skeletons, TABLE, TD, TH } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { Judges } from "./Judges";
import { Settings } from "./Settings";
import { useSystemWords } from "./words";

const SECTIONS = ["hardware", "doctor", "judges", "trackers", "settings", "audit"] as const;
const TRACKERS = ["tensorboard", "mlflow", "wandb"];

export function SystemPage() {
  const t = useSystemWords();
  return (
    <Page>
      <PageHead title={t("title")} text={t("text")} />
      <div className="grid items-start gap-6 lg:grid-cols-[10rem_minmax(0,1fr)]">
        <nav aria-label={t("sections")} className="sticky top-4 hidden flex-col gap-0.5 lg:flex">
          {SECTIONS.map((name) => (
            <a key={name} href={`#${name}`} className="rounded-md px-3 py-2 text-muted hover:bg-raised hover:text-ink">{t(name)}</a>
          ))}
        </nav>
        <div className="flex min-w-0 flex-col gap-5">
          <Section name="hardware"><Machine /></Section>
          <Section name="doctor"><Doctor /></Section>
          <Section name="judges"><Judges /></Section>
          <Section name="trackers"><Trackers /></Section>
          <Section name="settings"><Settings /></Section>
          <Section name="audit"><Audit /></Section>
        </div>
      </div>
    </Page>
  );
}

const Section = ({ name, children }: { name: string; children: ReactNode }) => <div id={name} className="scroll-mt-4">{children}</div>;

function Machine() {
  const t = useSystemWords();
  const query = useQuery({ queryKey: ["system"], queryFn: system.facts, refetchInterval: 10_000 });
  return (
    <Card title={t("hardware")}>
      <Loaded query={query} loading={<Skeletons rows={3} className="h-6" />}>{(found) => <MachineFacts found={found} />}</Loaded>
    </Card>
  );
}

function MachineFacts({ found }: { found: System }) {
  const t = useSystemWords();
  const { hardware } = found;
  const gpus = hardware.gpus ?? [];
  return (
    <div className="grid gap-x-10 gap-y-5 md:grid-cols-2">
      <div className="flex flex-col gap-4">
        <p><span className="block text-muted">{t("cpu")}</span>{hardware.cpu ?? "–"}{hardware.num_cores ? ` · ${t("cores", { n: hardware.num_cores })}` : ""}</p>
        <Meter label={t("memory")} free={hardware.ram_free_bytes} total={hardware.ram_bytes} />
        <Meter label={t("disk")} free={hardware.disk_free_bytes} total={hardware.disk_bytes} />
        {gpus.map((gpu, index) => <Meter key={index} label={gpu.name} free={gpu.free_bytes} total={gpu.memory_bytes} />)}
        {!gpus.length && <p><span className="block text-muted">{t("gpu")}</span>{t("noGpu")}</p>}
      </div>
      <Facts facts={[[t("version"), found.version], [t("python"), found.python], [t("database"), found.database], [t("host"), found.host], [t("tasks"), t("tasks.n", { running: found.running, waiting: found.waiting })]]} />
    </div>
  );
}

function Meter({ label, free, total }: { label: string; free?: number; total?: number }) {
  const t = useSystemWords();
  if (free === undefined) return null;
  const share = total ? 1 - free / total : 0;
  return (
    <div>
      <div className="flex justify-between gap-3"><span className="text-muted">{label}</span><span className="tabular-nums">{total ? t("free", { free: formatBytes(free), total: formatBytes(total) }) : formatBytes(free)}</span></div>
      {total !== undefined && <div role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(share * 100)} className="mt-1 h-1.5 overflow-hidden rounded-full bg-raised"><div className={`h-full rounded-full ${share > 0.9 ? "bg-bad" : share > 0.75 ? "bg-warn" : "bg-accent"}`} style={{ width: `${share * 100}%` }} /></div>}
    </div>
  );
}

const LEVELS = { ok: ["ok", Check], warning: ["warn", TriangleAlert], error: ["bad", CircleAlert] } as const;

function Doctor() {
  const t = useSystemWords();
  const query = useQuery({ queryKey: ["doctor"], queryFn: system.doctor, enabled: false });
  const troubles = query.data?.filter(({ level }) => level !== "ok") ?? [];
  return (
    <Card title={t("doctor")} aside={<Button icon={Stethoscope} disabled={query.isFetching} onClick={() => void query.refetch()}>{t("doctor.run")}</Button>}>
      {query.error ? <ErrorNote error={asErrorBody(query.error)} /> : query.isFetching ? <Skeletons rows={4} className="h-8" /> : !query.data ? <p className="text-muted">{t("doctor.text")}</p> : (
        <>
          {!troubles.length && <p className="mb-3 flex items-center gap-2 font-medium text-ok"><Check size={16} aria-hidden />{t("doctor.fine")}</p>}
          <ul className="flex flex-col gap-2.5">{[...troubles, ...query.data.filter(({ level }) => level === "ok")].map((one, index) => <Found key={index} finding={one} />)}</ul>
        </>
      )}
    </Card>
  );
}

function Found({ finding: { name, level, what, fix } }: { finding: DoctorFinding }) {
  const t = useSystemWords();
  const [tone, icon] = LEVELS[level];
  return (
    <li className="grid gap-x-4 gap-y-1 sm:grid-cols-[7rem_7rem_minmax(0,1fr)]">
      <span className="font-medium">{name}</span>
      <span><Badge tone={tone} icon={icon}>{t(`l.${level}`)}</Badge></span>
      <span className="min-w-0 break-words">{what}{fix && <span className="block text-muted">{fix}</span>}</span>
    </li>
  );
}

function Trackers() {
  const t = useSystemWords();
  return (
    <Card title={t("trackers")}>
      <p className="mb-3 text-muted">{t("trackers.text")}</p>
      <ul className="flex flex-col gap-2">{TRACKERS.map((name) => <Tracker key={name} name={name} />)}</ul>
    </Card>
  );
}

function Tracker({ name }: { name: string }) {
  const t = useSystemWords();
  const test = useMutation({ mutationFn: () => system.testTracker(name) });
  const said = test.error ? asErrorBody(test.error).message : test.data?.what;
  return (
    <li className="flex flex-wrap items-center gap-3">
      <span className="w-28 font-medium">{name}</span>
      <Button disabled={test.isPending} onClick={() => test.mutate()}>{t("test")}</Button>
      {said && <span role="status" className={`min-w-0 break-words ${test.data?.ok ? "text-ok" : "text-warn"}`}>{said}</span>}
    </li>
  );
}

function Audit() {
  const t = useSystemWords();
  const query = useQuery({ queryKey: ["audit"], queryFn: system.audit });
  return (
    <Card flush title={t("audit")}>
      <Loaded query={query} loading={<div className="px-4 pb-4"><Skeletons rows={3} className="h-6" /></div>}>
        {(entries) => !entries.length ? <p className="px-4 pb-4 text-muted">{t("audit.none")}</p> : (
          <div className="max-h-96 overflow-auto" tabIndex={0} role="region" aria-label={t("audit")}>
            <table className={TABLE}>
              <thead><tr><th scope="col" className={TH}>{t("when")}</th><th scope="col" className={TH}>{t("who")}</th><th scope="col" className={TH}>{t("what")}</th><th scope="col" className={TH}>{t("outcome")}</th></tr></thead>
              <tbody>
                {entries.map(({ id, at, who, about }) => (
                  <tr key={id}>
                    <td className={`${TD} whitespace-nowrap`}><time dateTime={at} title={formatMoment(at)}>{formatAgo(at)}</time></td>
                    <td className={TD}>{who}</td>
                    <td className={`${TD} font-mono text-xs`}>{String(about.path ?? "")}</td>
                    <td className={`${TD} tabular-nums`}>{typeof about.status === "number" ? formatNumber(about.status) : ""}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Loaded>
    </Card>
  );
}

/** What it needs to be installed, what in it could do harm, and the machine that all this is about. */
import { Info, ShieldAlert, ShieldCheck } from "lucide-react";
import type { ReactNode } from "react";
import { formatBytes } from "~/shared/i18n";
import { Card, Facts } from "../parts/layout";
import { useCheckWords } from "./checkWords";
import type { Report, Requirement } from "./report";

export function NeedsCard({ report: { requirements } }: { report: Report }) {
  const t = useCheckWords();
  const { base = [], specific = [], optional = [], formats = [], quantization, custom_code: code = [] } = requirements;
  return (
    <Card title={t("needs.title")}>
      <div className="flex flex-col gap-3">
        <Packages title={t("needs.base")} packages={base} />
        <Packages title={t("needs.specific")} packages={specific} />
        <Packages title={t("needs.optional")} packages={optional} />
        <Chips title={t("needs.formats")} names={formats} />
        {quantization && <Chips title={t("needs.quantization")} names={[quantization]} />}
        <Chips title={t("needs.code")} names={code} />
      </div>
    </Card>
  );
}

function Packages({ title, packages }: { title: string; packages: Requirement[] }) {
  if (!packages.length) return null;
  const noted = packages.filter(({ note }) => note);
  return (
    <div>
      <Chips title={title} names={packages.map(({ package: name }) => name)} />
      {noted.map(({ package: name, note }) => <p key={name} className="mt-1 text-xs text-pretty text-muted">{name}: {note}</p>)}
    </div>
  );
}

function Chips({ title, names }: { title: string; names: string[] }) {
  if (!names.length) return null;
  return (
    <div>
      <h3 className="mb-1 text-xs text-muted">{title}</h3>
      <ul className="flex flex-wrap gap-1.5">
        {names.map((name) => <li key={name} className="rounded-sm bg-raised px-1.5 py-0.5 font-mono text-xs [overflow-wrap:anywhere]">{name}</li>)}
      </ul>
    </div>
  );
}

export function SafetyCard({ report: { safety } }: { report: Report }) {
  const t = useCheckWords();
  return (
    <Card title={t("safety.title")}>
      {!safety.length && (
        <p className="flex items-start gap-2"><ShieldCheck size={18} aria-hidden className="mt-px shrink-0 text-ok" /><span className="min-w-0 text-pretty">{t("safety.none")}</span></p>
      )}
      <ul className="flex flex-col gap-3">
        {safety.map(({ level, what, where, fix }, index) => {
          const isDanger = level === "danger";
          return (
            <li key={index} className="flex items-start gap-2">
              {isDanger ? <ShieldAlert size={18} aria-hidden className="mt-px shrink-0 text-bad" /> : <Info size={18} aria-hidden className="mt-px shrink-0 text-muted" />}
              <div className="min-w-0 [overflow-wrap:anywhere]">
                <p className={isDanger ? "font-medium text-bad" : ""}><span className="sr-only">{t(isDanger ? "safety.danger" : "safety.note")}: </span>{what}</p>
                {where && <p className="font-mono text-xs text-muted">{where}</p>}
                {fix && <p className="text-muted">{fix}</p>}
              </div>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

export function MachineCard({ report: { hardware } }: { report: Report }) {
  const t = useCheckWords();
  const { cpu, num_cores: cores, ram_bytes: ram = 0, ram_free_bytes: free = 0, gpus = [], gpu_trouble: trouble, instruction_sets: sets = [] } = hardware;
  return (
    <Card title={t("machine.title")}>
      <Facts
        facts={[
          [t("machine.cpu"), <>{cpu}<span className="block text-xs text-muted">{[cores ? t("machine.cores", { n: cores }) : "", ...sets].filter(Boolean).join(", ")}</span></>],
          [t("machine.ram"), t("machine.free", { free: formatBytes(free), total: formatBytes(ram) })],
          ...(gpus.length
            ? gpus.map(({ name, free_bytes, memory_bytes }, index): [string, ReactNode] => [
                gpus.length > 1 ? `${t("gpu")} ${index + 1}` : t("gpu"),
                <>{name}<span className="block text-xs text-muted">{t("machine.free", { free: formatBytes(free_bytes), total: formatBytes(memory_bytes) })}</span></>,
              ])
            : [[t("gpu"), trouble || t("machine.noGpu")] as [string, string]]),
        ]}
      />
    </Card>
  );
}

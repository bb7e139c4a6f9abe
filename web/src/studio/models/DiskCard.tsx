/** What an installation takes of the disk, against what is free. */
import { formatBytes } from "~/shared/i18n";
import { Card, Facts } from "../parts/layout";
import { useCheckWords } from "./checkWords";
import type { Report } from "./report";

export function DiskCard({ report: { disk, files } }: { report: Report }) {
  const t = useCheckWords();
  const fits = disk.total <= disk.free;
  const share = disk.free > 0 ? Math.min(1, disk.total / disk.free) : 1;
  return (
    <Card title={t("disk.title")}>
      <Facts
        facts={[
          [t("disk.files"), <>{formatBytes(disk.files)}<span className="block text-xs text-muted">{t("disk.inFiles", { n: Object.keys(files).length })}</span></>],
          [t("disk.environment"), <>{formatBytes(disk.environment)}<span className="block text-xs text-muted">{t("disk.shared")}</span></>],
          [t("disk.total"), <span className="font-medium">{formatBytes(disk.total)}</span>],
        ]}
      />
      <div aria-hidden className="mt-4 h-2 overflow-hidden rounded-full bg-raised">
        <div className={`h-full rounded-full ${fits ? "bg-accent" : "bg-bad"}`} style={{ width: `${share * 100}%` }} />
      </div>
      <p className={`mt-1.5 text-xs ${fits ? "text-muted" : "font-medium text-bad"}`}>
        {fits ? t("disk.of", { total: formatBytes(disk.total), free: formatBytes(disk.free) }) : t("disk.lacks", { lacks: formatBytes(disk.total - disk.free), free: formatBytes(disk.free) })}
      </p>
    </Card>
  );
}

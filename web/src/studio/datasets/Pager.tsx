/** Pages of rows: back, on, or to a row by its number. */
import { ChevronLeft, ChevronRight } from "lucide-react";
import { IconButton } from "~/shared/components/Button";
import { formatNumber } from "~/shared/i18n";
import { INPUT } from "../parts/layout";
import { useDatasetWords } from "./words";

interface PagerProps {
  start: number;
  limit: number;
  total: number;
  onStart: (start: number) => void;
}

export function Pager({ start, limit, total, onStart }: PagerProps) {
  const t = useDatasetWords();
  const last = Math.min(total, start + limit);
  return (
    <div className="flex items-center gap-2">
      <input
        type="number"
        min={1}
        max={total}
        aria-label={t("goto")}
        placeholder={t("goto")}
        className={`${INPUT} w-28! tabular-nums`}
        onKeyDown={(event) => {
          const row = event.currentTarget.valueAsNumber;
          if (event.key === "Enter" && row >= 1) onStart(Math.min(total - 1, row - 1));
        }}
      />
      <span className="text-xs whitespace-nowrap text-muted tabular-nums">{t("range", { a: formatNumber(Math.min(start + 1, total)), b: formatNumber(last), n: formatNumber(total) })}</span>
      <IconButton label={t("previous")} icon={ChevronLeft} disabled={start === 0} onClick={() => onStart(Math.max(0, start - limit))} />
      <IconButton label={t("next")} icon={ChevronRight} disabled={last >= total} onClick={() => onStart(start + limit)} />
    </div>
  );
}

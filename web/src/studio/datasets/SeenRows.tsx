/** Rows as a model reads them: what of them is learnt. */
import { useQuery } from "@tanstack/react-query";
import { Scissors } from "lucide-react";
import { useState } from "react";
import { formatNumber } from "~/shared/i18n";
import { type Dataset, datasets, models, type SeenRow } from "../api";
import { Badge } from "../parts/Badge";
import { Card, INPUT } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { MediaStrip } from "./MediaStrip";
import { Pager } from "./Pager";
import { useDatasetWords } from "./words";

const LIMIT = 20;
const LEARNT = "rounded-sm bg-ok-soft text-ok underline decoration-1 underline-offset-4";

/** Models here that read text, the first of them chosen. */
export function useReader(): { list: string[]; chosen: string; choose: (model: string) => void } {
  const { data = [] } = useQuery({ queryKey: ["models"], queryFn: models.list });
  const [model, choose] = useState("");
  const list = data.filter(({ troubles }) => !troubles.length).map(({ id }) => id);
  return { list, chosen: model || list[0] || "", choose };
}

export function SeenRows({ dataset }: { dataset: Dataset }) {
  const t = useDatasetWords();
  const { list, chosen, choose } = useReader();
  const [start, setStart] = useState(0);
  const query = useQuery({
    queryKey: ["seen", dataset.id, chosen, start], queryFn: () => datasets.seen(dataset.id, chosen, start, LIMIT), enabled: Boolean(chosen), staleTime: Infinity,
  });
  return (
    <Card
      aside={
        <div className="flex w-full flex-wrap items-center justify-between gap-3">
          <select aria-label={t("model")} className={`${INPUT} w-auto! max-w-full`} value={chosen} onChange={(event) => choose(event.target.value)}>
            {list.map((one) => <option key={one}>{one}</option>)}
          </select>
          <span className="flex gap-4 text-xs"><span className={LEARNT}>{t("seen.learnt")}</span><span className="text-muted">{t("seen.read")}</span></span>
          <Pager start={start} limit={LIMIT} total={dataset.num_rows} onStart={setStart} />
        </div>
      }
    >
      {chosen ? (
        <Loaded query={query}>{({ items }) => <div className="flex flex-col gap-3">{items.map((row, index) => <Seen key={start + index} row={row} dataset={dataset.id} number={start + index + 1} />)}</div>}</Loaded>
      ) : <p className="text-muted">{t("seen.none")}</p>}
    </Card>
  );
}

function Seen({ row, dataset, number }: { row: SeenRow; dataset: number; number: number }) {
  const t = useDatasetWords();
  return (
    <article className="rounded-md border border-line">
      <header className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-3 py-1.5 text-xs text-muted tabular-nums">
        <span>{t("line")} {row.line || number}</span>
        {row.num_tokens > 0 && <span>{t("seen.counts", { n: formatNumber(row.num_tokens), learnt: formatNumber(row.num_learnt) })}</span>}
        {row.is_cut && <Badge tone="warn" icon={Scissors}>{t("seen.cut")}</Badge>}
      </header>
      {row.media.length > 0 && <div className="px-3 pt-2"><MediaStrip dataset={dataset} names={row.media} /></div>}
      {row.problem
        ? <p className="px-3 py-2 text-bad">{row.problem}</p>
        : <p className="px-3 py-2 font-mono text-xs leading-5 break-words whitespace-pre-wrap">{row.pieces.map(({ text, learnt }, index) => <span key={index} className={learnt ? LEARNT : "text-muted"}>{text}</span>)}</p>}
    </article>
  );
}

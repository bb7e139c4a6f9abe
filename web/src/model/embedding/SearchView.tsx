/** A question against the texts that have vectors already: only the question is sent. */
import { Search } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import type { Info } from "~/shared/api/types";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { useT } from "~/shared/i18n";
import { useCallFields } from "../settings";
import { FIELD } from "../SplitPage";
import { useCall } from "../useCall";
import type { Embedded } from "./exports";
import { NearList } from "./NearList";
import { type Near, nearest } from "./vectors";

const SHOWN = 20;

export function SearchView({ info, embedded }: { info: Info; embedded: Embedded }) {
  const t = useT();
  const fields = useCallFields(info);
  const call = useCall<{ embeddings: number[][] }>();
  const [query, setQuery] = useState("");
  const [found, setFound] = useState<Near[] | null>(null);
  useEffect(() => setFound(null), [embedded]);
  const search = async (event?: FormEvent): Promise<void> => {
    event?.preventDefault();
    if (!query.trim()) return;
    const vector = (await call.run({ ...fields, texts: [query.trim()] }))?.embeddings[0];
    if (vector) setFound(nearest(vector, embedded.vectors, SHOWN));
  };
  return (
    <div className="flex max-w-3xl flex-col gap-4">
      <form className="flex gap-2" onSubmit={(event) => void search(event)}>
        <input type="search" autoFocus aria-label={t("embed.query")} placeholder={t("embed.query")} className={FIELD} value={query} onChange={(event) => setQuery(event.target.value)} />
        <Button kind="primary" type="submit" icon={Search} disabled={!query.trim() || call.running}>{t("embed.search")}</Button>
      </form>
      {call.error && <ErrorNote error={call.error} onRetry={() => void search()} />}
      {found ? <NearList near={found} embedded={embedded} /> : <p className="text-muted">{t("embed.searchHint")}</p>}
    </div>
  );
}

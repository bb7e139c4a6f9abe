/** The texts on a plane; a point tells its text and, when chosen, its neighbours. */
import { useEffect, useMemo, useState } from "react";
import { api, asErrorBody, isAbort } from "~/shared/api/http";
import type { ErrorBody } from "~/shared/api/types";
import { ErrorNote } from "~/shared/components/states";
import { Tabs } from "~/shared/components/Tabs";
import { useT } from "~/shared/i18n";
import type { Embedded } from "./exports";
import { NearList } from "./NearList";
import { Scatter } from "./Scatter";
import { nearest, pca } from "./vectors";

const METHODS = [
  { name: "pca", title: "PCA" },
  { name: "tsne", title: "t-SNE" },
  { name: "umap", title: "UMAP" },
] as const;
type Method = (typeof METHODS)[number]["name"];
type Point = [number, number];
const NEIGHBOURS = 8;

/** PCA is there at once; the others are computed by the server, and PCA stays in view meanwhile. */
function usePoints({ vectors }: Embedded, method: Method): { points: Point[]; waiting: boolean; error: ErrorBody | null } {
  const own = useMemo(() => pca(vectors), [vectors]);
  const [answer, setAnswer] = useState<{ points: Point[] | null; error: ErrorBody | null }>({ points: null, error: null });
  useEffect(() => {
    setAnswer({ points: null, error: null });
    if (method === "pca") return;
    const stop = new AbortController();
    api<{ points: Point[] }>("project", { json: { vectors, method }, signal: stop.signal })
      .then(({ points }) => setAnswer({ points, error: null }))
      .catch((error: unknown) => isAbort(error) || setAnswer({ points: null, error: asErrorBody(error) }));
    return () => stop.abort();
  }, [vectors, method]);
  return { points: answer.points ?? own, waiting: method !== "pca" && !answer.points && !answer.error, error: answer.error };
}

export function MapView({ embedded }: { embedded: Embedded }) {
  const t = useT();
  const [method, setMethod] = useState<Method>("pca");
  const [chosen, setChosen] = useState<number | null>(null);
  const { points, waiting, error } = usePoints(embedded, method);
  useEffect(() => setChosen(null), [embedded]);
  const picked = chosen !== null && chosen < embedded.vectors.length ? chosen : null;
  const near = useMemo(
    () => (picked === null ? [] : nearest(embedded.vectors[picked]!, embedded.vectors, NEIGHBOURS, picked)),
    [picked, embedded],
  );
  return (
    <>
      <div className="flex items-center gap-3">
        <Tabs label={t("embed.method")} tabs={[...METHODS]} chosen={method} onChoose={setMethod} />
        {waiting && <span role="status" className="breathe text-muted">{t("embed.computing")}</span>}
      </div>
      {error && <ErrorNote error={error} />}
      <div className="flex min-h-96 flex-1 flex-col gap-4 lg:flex-row">
        <Scatter points={points} embedded={embedded} chosen={picked} near={near.map(({ index }) => index)} onChoose={setChosen} />
        {picked !== null && (
          <aside className="shrink-0 lg:w-72 lg:overflow-y-auto">
            {embedded.pictures[picked] && <img src={embedded.pictures[picked]} alt="" className="mb-2 max-h-40 max-w-full rounded-md border border-line" />}
            <h3 className="mb-2 font-medium break-words">{embedded.texts[picked]}</h3>
            <NearList near={near} embedded={embedded} onChoose={setChosen} />
          </aside>
        )}
      </div>
    </>
  );
}

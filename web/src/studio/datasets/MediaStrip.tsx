/** Pictures and recordings of a row. They are fetched with what the page has signed in with, once they come into view. */
import { useQuery } from "@tanstack/react-query";
import { Volume2 } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { Dialog } from "~/shared/components/Dialog";
import { datasets } from "../api";
import { useDatasetWords } from "./words";

const IS_SOUND = /\.(wav|flac|mp3|ogg|opus|m4a|aac)$/i;
const KEPT_MS = 60_000;
const FRAME = "grid h-20 min-w-20 max-w-40 place-items-center overflow-hidden rounded-md border border-line bg-page";

export function MediaStrip({ dataset, names }: { dataset: number; names: string[] }) {
  return (
    <div className="mb-1.5 flex flex-wrap gap-2">
      {names.map((name) => (IS_SOUND.test(name) ? <Sound key={name} dataset={dataset} name={name} /> : <Picture key={name} dataset={dataset} name={name} />))}
    </div>
  );
}

/** The file's address in this page, while it is shown. */
function useMedia(dataset: number, name: string, isWanted: boolean): { url: string; failed: boolean } {
  const { data, isError } = useQuery({
    queryKey: ["media", dataset, name], queryFn: () => datasets.media(dataset, name), enabled: isWanted, staleTime: Infinity, gcTime: KEPT_MS,
  });
  const [url, setUrl] = useState("");
  useEffect(() => {
    if (!data) return;
    const made = URL.createObjectURL(data);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  return { url, failed: isError };
}

function Picture({ dataset, name }: { dataset: number; name: string }) {
  const t = useDatasetWords();
  const frame = useRef<HTMLButtonElement>(null);
  const [isNear, setNear] = useState(false);
  const [isBroken, setBroken] = useState(false);
  const [open, setOpen] = useState(false);
  const { url, failed } = useMedia(dataset, name, isNear);
  useEffect(() => {
    const watch = new IntersectionObserver(([entry]) => { if (entry?.isIntersecting) setNear(true); }, { rootMargin: "200px" });
    if (frame.current) watch.observe(frame.current);
    return () => watch.disconnect();
  }, []);
  // What no browser shows, as TIFF, still has its name in the row.
  if (failed || isBroken) return null;
  return (
    <>
      <button ref={frame} type="button" aria-label={t("enlarge", { name })} title={name} className={`${FRAME} hover:border-line-strong`} onClick={() => setOpen(true)}>
        {url ? <img src={url} alt="" decoding="async" className="max-h-20 max-w-40 object-contain" onError={() => setBroken(true)} /> : <span className="skeleton size-full" />}
      </button>
      {open && url && (
        <Dialog title={name} onClose={() => setOpen(false)}>
          <img src={url} alt={name} className="mx-auto max-h-[75vh] max-w-full object-contain px-4 pb-4" />
        </Dialog>
      )}
    </>
  );
}

/** Fetched when somebody wants to hear it: recordings are long. */
function Sound({ dataset, name }: { dataset: number; name: string }) {
  const t = useDatasetWords();
  const [isWanted, setWanted] = useState(false);
  const { url, failed } = useMedia(dataset, name, isWanted);
  if (failed) return null;
  if (url) return <audio src={url} controls autoPlay aria-label={name} className="h-10 w-64 max-w-full" />;
  return (
    <button type="button" aria-label={t("listen", { name })} title={name} disabled={isWanted} className={`${FRAME} h-10! hover:border-line-strong`} onClick={() => setWanted(true)}>
      <Volume2 size={18} aria-hidden className={isWanted ? "animate-pulse" : ""} />
    </button>
  );
}

/** Adapters and models that other tools have left on the studio's machine. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { CircleCheck, Download, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { Dialog } from "~/shared/components/Dialog";
import { ErrorNote } from "~/shared/components/states";
import { toast } from "~/shared/components/Toasts";
import { formatBytes, useT } from "~/shared/i18n";
import { adapters, type Scan } from "../api";
import { familyTitle } from "../models/families";
import { methodName } from "../models/adapters";
import { checkPath } from "../models/paths";
import { useModelsWords } from "../models/words";
import { INPUT, Labelled, Skeletons } from "../parts/layout";
import { TEXT_LINK } from "../parts/links";
import { useModels } from "../train/hooks";
import { refresh } from "./AdapterMenu";
import { useAdapterWords } from "./words";

/** What is no folder but an adapter itself. */
const isFile = (path: string): boolean => path.endsWith(".safetensors");

export function Elsewhere({ onClose }: { onClose: () => void }) {
  const t = useAdapterWords();
  const [text, setText] = useState("");
  const [folder, setFolder] = useState("");
  const look = (): void => setFolder(text.trim());
  return (
    <Dialog title={t("elsewhere.title")} shape="top" onClose={onClose}>
      <div className="flex flex-col gap-4 px-4 pb-4">
        <p className="text-pretty text-muted">{t("elsewhere.text")}</p>
        <form className="flex items-end gap-2" onSubmit={(event) => { event.preventDefault(); look(); }}>
          <div className="min-w-0 flex-1">
            <Labelled id="elsewhere" label={t("elsewhere.folder")}>
              <input id="elsewhere" autoFocus autoComplete="off" spellCheck={false} placeholder="path/to/loras" className={`${INPUT} font-mono text-xs`} value={text} onChange={(event) => setText(event.target.value)} />
            </Labelled>
          </div>
          <Button kind="primary" type="submit" disabled={!text.trim()}>{t("elsewhere.look")}</Button>
        </form>
        {folder && (isFile(folder) ? <TakeIn key={folder} name={folder.split("/").pop() ?? folder} source={folder} base="" facts="" /> : <Looked key={folder} folder={folder} />)}
      </div>
    </Dialog>
  );
}

function Looked({ folder }: { folder: string }) {
  const t = useAdapterWords();
  const said = useModelsWords();
  const query = useQuery({ queryKey: ["scan", folder], queryFn: ({ signal }) => adapters.scan(folder, signal), retry: 0, staleTime: 0 });
  if (query.isFetching) return <Skeletons rows={2} className="h-10" />;
  if (query.error) return <ErrorNote error={asErrorBody(query.error)} onRetry={() => void query.refetch()} />;
  const found = query.data;
  if (!found) return null;
  if (!found.adapters.length && !found.models.length) return <p role="status" className="text-muted">{t("elsewhere.nothing")}</p>;
  return (
    <>
      {found.adapters.length > 0 && (
        <section>
          <h3 className="mb-1 text-xs font-medium text-muted">{t("elsewhere.adapters")}</h3>
          <div className="divide-y divide-line">
            {found.adapters.map((one) => <TakeIn key={one.folder} name={one.name} source={one.folder} base={one.base} facts={[methodName(one.kind), one.rank === null ? "" : said("rank", { n: one.rank }), formatBytes(one.num_bytes)].filter(Boolean).join(" · ")} troubles={one.troubles} />)}
          </div>
        </section>
      )}
      {found.models.length > 0 && <Models models={found.models} />}
      {found.is_cut && <p className="text-muted">{t("elsewhere.cut")}</p>}
    </>
  );
}

function Models({ models }: { models: Scan["models"] }) {
  const t = useAdapterWords();
  const shared = useT();
  return (
    <section>
      <h3 className="mb-1 text-xs font-medium text-muted">{t("elsewhere.models")}</h3>
      <ul className="divide-y divide-line">
        {models.map(({ name, folder, family, num_bytes: bytes, trouble }) => (
          <li key={folder} className="flex min-h-11 flex-wrap items-center gap-x-3 py-1">
            <span className="min-w-0 flex-1 basis-40 [overflow-wrap:anywhere]">
              {trouble ? <span className="font-medium">{name}</span> : <Link href={checkPath(folder)} className={TEXT_LINK}>{name}</Link>}
            </span>
            <span className={`text-xs ${trouble ? "text-warn" : "text-muted"}`}>{trouble || [familyTitle(family, shared), formatBytes(bytes)].join(" · ")}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface TakeInProps {
  name: string;
  source: string;
  /** The base that it names; empty where it names none. */
  base: string;
  facts: string;
  troubles?: string[];
}

function TakeIn({ name, source, base, facts, troubles = [] }: TakeInProps) {
  const t = useAdapterWords();
  const { data: models } = useModels();
  const own = models?.find((model) => model.id === base || model.name === base)?.id ?? "";
  const [chosen, setChosen] = useState("");
  const taking = useMutation({
    mutationFn: () => adapters.import(source, chosen || own || base, ""),
    onSuccess: (made) => {
      toast(t("elsewhere.imported", { name: made.name }));
      refresh();
    },
  });
  return (
    <div className="py-2">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <div className="min-w-0 flex-1 basis-40">
          <p className="font-medium [overflow-wrap:anywhere]">{name}</p>
          <p className="text-xs text-muted [overflow-wrap:anywhere]">{[base, facts].filter(Boolean).join(" · ")}</p>
        </div>
        {taking.isSuccess ? <CircleCheck size={18} aria-label={t("elsewhere.imported", { name })} className="text-ok" /> : troubles.length === 0 && (
          <>
            <select aria-label={t("elsewhere.base")} className={`${INPUT} w-auto! max-w-44`} value={chosen || own} onChange={(event) => setChosen(event.target.value)}>
              {!own && <option value="">{base || t("elsewhere.base")}</option>}
              {(models ?? []).map(({ id }) => <option key={id} value={id}>{id}</option>)}
            </select>
            <Button icon={Download} disabled={taking.isPending || !(chosen || own || base)} onClick={() => taking.mutate()}>{t("elsewhere.import")}</Button>
          </>
        )}
      </div>
      {troubles.map((trouble) => <p key={trouble} className="mt-1 flex items-start gap-1.5 text-xs text-warn"><TriangleAlert size={14} aria-hidden className="mt-px shrink-0" />{trouble}</p>)}
      {taking.error && <div className="mt-2"><ErrorNote error={asErrorBody(taking.error)} /></div>}
    </div>
  );
}

/** Assistants: the list, and the one that is looked at. Where there is no room for both, each has a page. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { MessagesSquare, Plus } from "lucide-react";
import { useState } from "react";
import { navigate } from "wouter/use-browser-location";
import { Button } from "~/shared/components/Button";
import { Empty, ErrorNote } from "~/shared/components/states";
import { type Assistant, type AssistantAsked, assistants } from "../api";
import { poll } from "../live";
import { Card, Page, PageHead, Skeletons } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { AssistantForm } from "./AssistantForm";
import { AssistantList } from "./AssistantList";
import { AssistantView } from "./AssistantView";
import { keep } from "./changes";
import { useAssistantWords } from "./words";

/** No event tells when a server has loaded its model: it is asked for while one does. */
const STARTING_MS = 1500;

export function AssistantsPage({ chosen }: { chosen?: number }) {
  const t = useAssistantWords();
  const query = useQuery({
    queryKey: ["assistants"], queryFn: assistants.list,
    refetchInterval: ({ state }) => (state.data?.some((one) => one.state === "starting") ? STARTING_MS : poll()),
  });
  const [draft, setDraft] = useState<Partial<AssistantAsked> | null>(null);
  const create = useMutation({ mutationFn: assistants.create, onSuccess: (one) => { keep(one); setDraft(null); navigate(`/assistants/${one.id}`); } });
  const all = query.data ?? [];
  return (
    <Page>
      <div className={chosen === undefined ? "" : "max-lg:hidden"}>
        <PageHead title={t("title")} text={t("lead")}>
          {all.length > 0 && <Button kind="primary" icon={Plus} onClick={() => setDraft({})}>{t("new")}</Button>}
        </PageHead>
      </div>
      <Loaded query={query} loading={<Loading />}>
        {(list) => (list.length ? <Both list={list} chosen={chosen} /> : <First onDraft={setDraft} />)}
      </Loaded>
      {draft && (
        <AssistantForm
          title={t("new")}
          initial={draft}
          taken={all.map(({ name }) => name)}
          isPending={create.isPending}
          error={create.error}
          onSave={create.mutate}
          onClose={() => { setDraft(null); create.reset(); }}
        />
      )}
    </Page>
  );
}

function Both({ list, chosen }: { list: Assistant[]; chosen: number | undefined }) {
  const t = useAssistantWords();
  const one = chosen === undefined ? list[0] : list.find(({ id }) => id === chosen);
  return (
    <div className="grid min-w-0 items-start gap-4 lg:grid-cols-[18rem_minmax(0,1fr)]">
      <div className={`min-w-0 ${chosen === undefined ? "" : "max-lg:hidden"}`}><AssistantList list={list} shown={one?.id} /></div>
      <div className={`min-w-0 ${chosen === undefined ? "max-lg:hidden" : ""}`}>
        {one ? <AssistantView key={one.id} one={one} list={list} /> : <ErrorNote error={{ message: t("gone"), hint: t("gone.hint") }} />}
      </div>
    </div>
  );
}

function First({ onDraft }: { onDraft: (draft: Partial<AssistantAsked>) => void }) {
  const t = useAssistantWords();
  const samples = (["clerk", "plain"] as const).map((name) => ({
    label: t(`sample.${name}`),
    onSelect: () => onDraft({ name: t(`sample.${name}.name`), system_prompt: t(`sample.${name}.prompt`) }),
  }));
  return (
    <Card>
      <Empty icon={MessagesSquare} title={t("empty.title")} text={t("empty.text")} samples={samples}>
        <Button kind="primary" icon={Plus} onClick={() => onDraft({})}>{t("new")}</Button>
      </Empty>
    </Card>
  );
}

function Loading() {
  return (
    <div className="grid gap-4 lg:grid-cols-[18rem_minmax(0,1fr)]">
      <Card><Skeletons rows={4} className="h-12" /></Card>
      <Card className="max-lg:hidden"><Skeletons rows={4} className="h-20" /></Card>
    </div>
  );
}

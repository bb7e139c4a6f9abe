/** Base and adapter side by side. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { LoaderCircle, Play, Square } from "lucide-react";
import { Button } from "~/shared/components/Button";
import { ErrorNote } from "~/shared/components/states";
import { servings, type Task } from "../api";
import { queries } from "../live";
import { Duel } from "../parts/Chat";
import { Card } from "../parts/layout";
import { ModelPage, talks } from "../parts/ModelPage";
import { noteOf, toastError } from "../problems";
import { useTaskWords } from "./words";

const ASK_MS = 1000;
const LONGEST = 256;

export function TryIt({ task, adapter }: { task: Task; adapter: string }) {
  const t = useTaskWords();
  const voice = `task-${task.id}`;
  const { data: open = [] } = useQuery({ queryKey: ["servings"], queryFn: servings.list, refetchInterval: ASK_MS });
  const serving = open.find(({ base_model }) => base_model === task.base_model);
  const refresh = (): void => void queries.invalidateQueries({ queryKey: ["servings"] });
  const start = useMutation({
    mutationFn: () => servings.start(task.base_model, { [voice]: adapter }), onSuccess: refresh, onError: toastError,
  });
  const stop = useMutation({ mutationFn: () => servings.stop(serving!.id), onSuccess: () => { start.reset(); refresh(); }, onError: toastError });
  const isHere = serving?.state === "ready" && serving.voices.includes(voice);
  const isLoading = start.isPending || (start.isSuccess && serving?.state !== "failed" && !isHere) || serving?.state === "starting";
  const isTalker = talks(serving?.family ?? "");
  const path = serving ? servings.chatPath(serving.id) : "";
  const sampling = { temperature: 0, max_tokens: LONGEST };
  return (
    <Card flush={isHere && isTalker} title={t("try")} aside={serving && <Button icon={Square} disabled={stop.isPending} onClick={() => stop.mutate()}>{t("try.stop")}</Button>}>
      {serving?.problem && <div className="p-4"><ErrorNote error={noteOf(serving.problem)} onRetry={() => start.mutate()} /></div>}
      {isHere && !isTalker ? <ModelPage serving={serving.id} family={serving.family} adapter={voice} /> : isHere ? (
        <Duel
          voices={[
            { title: `${t("base")} · ${task.base_model}`, path, model: serving.voices[0]!, sampling },
            { title: `${t("tuned")} · ${task.task_name}`, path, model: voice, sampling },
          ]}
        />
      ) : isLoading ? (
        <p role="status" className="flex items-center gap-2 py-6 text-muted"><LoaderCircle size={16} aria-hidden className="animate-spin" />{t("try.loading")}</p>
      ) : (
        <div className="flex flex-wrap items-center justify-between gap-3">
          <p className="text-muted">{t("try.text")}</p>
          <Button kind="primary" icon={Play} onClick={() => start.mutate()}>{t("try.start")}</Button>
        </div>
      )}
    </Card>
  );
}

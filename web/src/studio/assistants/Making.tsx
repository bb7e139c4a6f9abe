/** What an assistant is made of. */
import type { ReactNode } from "react";
import { Link } from "wouter";
import { Fold } from "~/shared/components/Fold";
import type { Assistant } from "../api";
import { checkPath } from "../models/paths";
import { Card, Facts } from "../parts/layout";
import { TEXT_LINK } from "../parts/links";
import { useAdapters } from "../train/hooks";
import { adapterName } from "./AssistantList";
import { isSampling, useAssistantWords } from "./words";

/** A longer prompt is folded away. */
const SHOWN_CHARACTERS = 400;

export function Making({ one }: { one: Assistant }) {
  const t = useAssistantWords();
  const adapters = useAdapters();
  const adapter = adapters.data?.find(({ path }) => path === one.adapter);
  const name = adapterName(one.adapter, adapters.data);
  const sampling = Object.entries(one.sampling).map(([key, value]): [string, ReactNode] => [isSampling(key) ? t(`sampling.${key}`) : key, String(value)]);
  const prompt = <p className="max-w-prose break-words whitespace-pre-wrap">{one.system_prompt}</p>;
  return (
    <Card title={t("making")}>
      <div className="grid gap-x-10 gap-y-4 md:grid-cols-2">
        <Facts
          facts={[
            [t("base"), <Link href={checkPath(one.base_model)} className={`${TEXT_LINK} [overflow-wrap:anywhere]`}>{one.base_model}</Link>],
            [t("adapter"), !one.adapter ? <span className="text-muted">{t("adapter.none")}</span>
              : adapter && adapter.task !== null ? <Link href={`/tasks/${adapter.task}`} className={`${TEXT_LINK} [overflow-wrap:anywhere]`} title={one.adapter}>{name}</Link>
              : <span className="[overflow-wrap:anywhere]" title={one.adapter}>{name}</span>],
            ...(sampling.length ? sampling : [[t("sampling"), <span className="text-muted">{t("sampling.own")}</span>] as [string, ReactNode]]),
          ]}
        />
        <div className="min-w-0">
          {one.system_prompt.length > SHOWN_CHARACTERS ? <Fold title={t("prompt")}>{prompt}</Fold> : (
            <>
              <h3 className="mb-1 text-muted">{t("prompt")}</h3>
              {one.system_prompt ? prompt : <p className="text-muted">{t("prompt.none")}</p>}
            </>
          )}
        </div>
      </div>
    </Card>
  );
}

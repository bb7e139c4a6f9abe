/** Where an assistant answers, and what to paste into a program. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { CodeBlock } from "~/shared/components/CodeBlock";
import { CopyButton } from "~/shared/components/CopyButton";
import { Tabs } from "~/shared/components/Tabs";
import { type Assistant, sessions } from "../api";
import { Card } from "../parts/layout";
import { type Language, SNIPPETS } from "./snippets";
import { useAssistantWords } from "./words";

const TITLES: Record<Language, string> = { curl: "curl", python: "Python", javascript: "JavaScript" };
const NAMES = Object.keys(TITLES) as Language[];
const HIGHLIGHT: Record<Language, string> = { curl: "bash", python: "python", javascript: "javascript" };

export function Address({ one }: { one: Assistant }) {
  const t = useAssistantWords();
  const [language, setLanguage] = useState<Language>("curl");
  const { data: session } = useQuery({ queryKey: ["session"], queryFn: sessions.now, staleTime: Infinity });
  const url = location.origin + one.path;
  const needsToken = session?.needs_sign_in ?? false;
  const code = SNIPPETS[language]({ url, model: one.name, question: t("question"), needsToken });
  return (
    <Card title={t("address")}>
      <p className="max-w-prose text-pretty text-muted">{t("address.text")}</p>
      <dl className="mt-3 grid gap-x-6 gap-y-2 sm:grid-cols-[auto_1fr]">
        {([["address.url", url], ["address.model", one.name]] as const).map(([word, value]) => (
          <div key={word} className="contents">
            <dt className="self-center text-muted">{t(word)}</dt>
            <dd className="flex min-w-0 items-center rounded-md bg-raised pr-1 pl-3 max-sm:mb-1 sm:w-max sm:max-w-full">
              <code className="min-w-0 flex-1 py-1.5 font-mono text-xs [overflow-wrap:anywhere]">{value}</code>
              <CopyButton text={() => value} label={t("copy", { what: t(word) })} />
            </dd>
          </div>
        ))}
      </dl>
      <div className="mt-4"><Tabs label={t("snippet")} tabs={NAMES.map((name) => ({ name, title: TITLES[name] }))} chosen={language} onChoose={setLanguage} /></div>
      <div role="tabpanel" aria-label={TITLES[language]} className="text-xs [&_pre]:overflow-x-auto [&_pre]:font-mono">
        <CodeBlock code={code} language={HIGHLIGHT[language]} />
      </div>
      {needsToken && <p className="text-xs text-pretty text-muted">{t("address.token")}</p>}
    </Card>
  );
}

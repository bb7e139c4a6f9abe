/** Held-out rows as base and tuned model answer them; what got worse first. */
import { useQuery } from "@tanstack/react-query";
import { Minus, TrendingDown, TrendingUp } from "lucide-react";
import { type AnswerRow, type Task, tasks } from "../api";
import { Badge } from "../parts/Badge";
import { Card } from "../parts/layout";
import { Loaded } from "../parts/Loaded";
import { useTaskWords } from "./words";

export function Answers({ task }: { task: Task }) {
  const t = useTaskWords();
  const query = useQuery({ queryKey: ["answers", task.id, task.status], queryFn: () => tasks.answers(task.id) });
  return (
    <Loaded query={query}>
      {(rows) => rows.length
        ? <div className="flex flex-col gap-4">{rows.map((row, index) => <Answer key={index} row={row} />)}</div>
        : <Card><p className="text-muted">{t("answers.empty")}</p></Card>}
    </Loaded>
  );
}

function Answer({ row }: { row: AnswerRow }) {
  const t = useTaskWords();
  const change = row.change ?? 0;
  const [tone, icon, word] = change > 0.005 ? (["ok", TrendingUp, "better"] as const) : change < -0.005 ? (["bad", TrendingDown, "worse"] as const) : (["plain", Minus, "same"] as const);
  return (
    <Card>
      <div className="flex items-start justify-between gap-3">
        <p className="min-w-0 break-words whitespace-pre-wrap">{row.question}</p>
        <Badge tone={tone} icon={icon}>{t(word)}</Badge>
      </div>
      <div className="mt-3 grid gap-3 md:grid-cols-3">
        <Text title={t("expected")} text={row.expected} />
        <Text title={t("base")} text={row.base} against={row.expected} />
        <Text title={t("tuned")} text={row.tuned} against={row.expected} />
      </div>
    </Card>
  );
}

/** Words that the right answer does not have are underlined, so that colour alone says nothing. */
function Text({ title, text, against }: { title: string; text: string; against?: string }) {
  const known = new Set(against?.split(/\s+/));
  return (
    <div className="min-w-0 rounded-md bg-raised p-3">
      <h3 className="mb-1 text-xs font-medium text-muted">{title}</h3>
      <p className="font-mono text-xs break-words whitespace-pre-wrap">
        {text.split(/(\s+)/).map((word, index) =>
          against === undefined || !word.trim() || known.has(word) ? word : <span key={index} className="text-bad underline decoration-dotted underline-offset-2">{word}</span>,
        )}
      </p>
    </div>
  );
}

/** What will be used: every parameter with its reason, and what all of it takes. */
import { ChevronDown } from "lucide-react";
import { useId, useState } from "react";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { Switch } from "~/shared/components/SchemaForm";
import { ErrorNote } from "~/shared/components/states";
import { useStore } from "~/shared/store";
import type { Plan } from "../api";
import { Skeletons } from "../parts/layout";
import { useStudioWords } from "../words";
import { draft } from "./draft";
import { type Planned, useSchema } from "./hooks";
import { MoreSettings } from "./MoreSettings";
import { ParamRow } from "./ParamRow";
import { fieldFor, inOrder, isMain } from "./params";
import { PlanSummary } from "./PlanSummary";
import { useTrainWords } from "./words";

interface SectionProps {
  planned: Planned;
  /** What has to be there before there can be a plan. */
  before: string;
}

export function PlanSection({ planned: { plan, error, isPending, retry }, before }: SectionProps) {
  const t = useTrainWords();
  const studio = useStudioWords();
  const id = useId();
  const advanced = useStore(draft, (d) => d.advanced);
  return (
    <section aria-label={t("plan")} aria-busy={isPending} className="flex flex-col gap-3 border-b border-line px-4 py-4 sm:px-5">
      <div className="flex flex-wrap items-center justify-between gap-x-4">
        <h3 className="font-semibold">{t("plan")}</h3>
        <label htmlFor={id} className="flex min-h-9 cursor-pointer items-center gap-2 text-muted">
          {t("advanced")}
          <Switch id={id} on={advanced} onChange={(on) => draft.set({ advanced: on })} />
        </label>
      </div>
      {/* What is wrong stays in sight of the field that it may be about. */}
      {error && <div className={plan ? "sticky top-2 z-10 rounded-lg shadow-lifted" : ""}><ErrorNote error={asErrorBody(error)} onRetry={retry} /></div>}
      {plan ? (
        <div className={`flex flex-col gap-3 transition-opacity ${isPending ? "opacity-60" : ""}`}>
          <PlanSummary plan={plan} />
          <Parameters plan={plan} isOpen={advanced} />
        </div>
      ) : isPending ? (
        <div role="status" aria-label={studio("loading")}>
          <Skeletons rows={1} className="h-24" />
          <div className="h-3" />
          <Skeletons rows={6} className="h-6" />
        </div>
      ) : !error && <p className="text-pretty text-muted">{before}</p>}
    </section>
  );
}

function Parameters({ plan, isOpen }: { plan: Plan; isOpen: boolean }) {
  const t = useTrainWords();
  const schema = useSchema();
  const params = useStore(draft, (d) => d.params);
  const [all, setAll] = useState(false);
  const parameters = inOrder(plan.parameters);
  const first = parameters.filter((one) => isMain(one.name) || fieldFor(one) in params);
  const shown = isOpen || all ? parameters : first;
  const hasOwn = Object.keys(params).length > 0;
  return (
    <>
      <dl className="border-t border-line">
        {shown.map((parameter) => <ParamRow key={parameter.name} parameter={parameter} schema={isOpen ? schema.data : undefined} />)}
      </dl>
      {!isOpen && first.length < parameters.length && (
        <Button kind="quiet" className="-mx-3 self-start" onClick={() => setAll(!all)} aria-expanded={all}>
          <ChevronDown size={16} aria-hidden className={`transition-transform ${all ? "rotate-180" : ""}`} />
          {all ? t("plan.less") : t("plan.more", { n: parameters.length - first.length })}
        </Button>
      )}
      {isOpen && schema.error && <ErrorNote error={asErrorBody(schema.error)} onRetry={() => void schema.refetch()} />}
      {isOpen && schema.data && <MoreSettings schema={schema.data} shown={new Set(parameters.map(fieldFor))} />}
      {hasOwn && <Button kind="quiet" className="-mx-3 self-start" onClick={() => draft.set({ params: {} })}>{t("advanced.resetAll")}</Button>}
    </>
  );
}

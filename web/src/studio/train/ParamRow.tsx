/** A parameter of the plan: its name, its value or a control for it, and why it is so. */
import { RotateCcw } from "lucide-react";
import { useId } from "react";
import { IconButton } from "~/shared/components/Button";
import type { Schema } from "~/shared/api/types";
import { type Field, fieldOf, humanised } from "~/shared/schema";
import { useStore } from "~/shared/store";
import type { Parameter } from "../api";
import { Badge } from "../parts/Badge";
import { changeParam, draft, resetParam } from "./draft";
import { Editor, type EditorProps } from "./Editor";
import { fieldFor, formatValue, isInverse } from "./params";
import { useParamWords } from "./paramWords";
import { useTrainWords } from "./words";

/** The spec asks for the contrary of what some of a plan's names say. */
function bound(name: string, field: Field, given: unknown): Pick<EditorProps, "field" | "value" | "onChange"> {
  const change = (value: unknown): void => changeParam(field.name, value);
  if (!isInverse(name)) return { field, value: given, onChange: change };
  return { field: { ...field, initial: !field.initial }, value: given === undefined ? undefined : !given, onChange: (on) => change(on === undefined ? on : !on) };
}

interface RowProps {
  parameter: Parameter;
  /** Where it can be edited. */
  schema: Schema | undefined;
}

export function ParamRow({ parameter, schema }: RowProps) {
  const { name, value, reason } = parameter;
  const t = useTrainWords();
  const words = useParamWords();
  const id = useId();
  const asked = fieldFor(parameter);
  const given = useStore(draft, (d) => d.params[asked]);
  const property = schema?.properties?.[asked];
  const label = words.label(name, humanised(name));
  const isYours = given !== undefined;
  return (
    <div className={`grid grid-cols-[minmax(0,1fr)_auto] items-baseline gap-x-4 gap-y-0.5 border-b border-line py-2 last:border-0 ${schema ? "sm:grid-cols-[10rem_10rem_minmax(0,1fr)]" : "sm:grid-cols-[10rem_8rem_minmax(0,1fr)]"}`}>
      <dt className="min-w-0">
        {property ? <label htmlFor={id} className="font-medium">{label}</label> : <span className="font-medium">{label}</span>}
      </dt>
      <dd className="flex min-w-0 items-center justify-end gap-2 sm:justify-start">
        {property && schema ? (
          <div className="w-36 min-w-0">
            <Editor id={id} label={label} own={value} {...bound(name, fieldOf(asked, property, schema), given)} />
          </div>
        ) : <span className="break-words tabular-nums">{formatValue(value, { yes: t("yes"), no: t("no") })}</span>}
        {isYours && !property && <Badge tone="accent">{t("yours")}</Badge>}
      </dd>
      <dd className="col-span-2 min-w-0 text-pretty text-muted sm:col-span-1">
        {property && isYours ? (
          <span className="flex items-center gap-1">
            <Badge tone="accent">{t("yours")}</Badge>
            <IconButton className="-my-1.5" label={t("advanced.reset", { name: label })} icon={RotateCcw} onClick={() => resetParam(asked, id)} />
          </span>
        ) : !isYours && reason}
        {property && <span className={`block text-xs ${reason && !isYours ? "mt-0.5" : ""}`}>{words.hint(name)}</span>}
      </dd>
    </div>
  );
}

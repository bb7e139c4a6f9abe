/** What the spec takes beyond what a plan shows. */
import { RotateCcw } from "lucide-react";
import { useId } from "react";
import { IconButton } from "~/shared/components/Button";
import { Fold } from "~/shared/components/Fold";
import type { Schema } from "~/shared/api/types";
import { type Field, fieldOf, humanised } from "~/shared/schema";
import { useStore } from "~/shared/store";
import { Badge } from "../parts/Badge";
import { changeParam, draft, NOT_GIVEN, resetParam } from "./draft";
import { Editor } from "./Editor";
import { useParamWords } from "./paramWords";
import { useTrainWords } from "./words";

/** `shown` are fields that stand elsewhere. */
export function MoreSettings({ schema, shown }: { schema: Schema; shown: ReadonlySet<string> }) {
  const t = useTrainWords();
  const fields = Object.entries(schema.properties ?? {})
    .filter(([name]) => !NOT_GIVEN.has(name) && !shown.has(name))
    .map(([name, property]) => fieldOf(name, property, schema));
  return (
    <Fold title={t("advanced.more")}>
      <div className="grid gap-x-6 gap-y-4 sm:grid-cols-2">
        {fields.map((field) => <Setting key={field.name} field={field} />)}
      </div>
    </Fold>
  );
}

function Setting({ field }: { field: Field }) {
  const t = useTrainWords();
  const words = useParamWords();
  const id = useId();
  const given = useStore(draft, (d) => d.params[field.name]);
  const label = words.label(field.name, humanised(field.name));
  const hint = words.hint(field.name, field.help);
  const editor = <Editor id={id} label={label} field={field} value={given} own={undefined} onChange={(value) => changeParam(field.name, value)} />;
  return (
    <div className="min-w-0">
      <div className="flex min-h-8 items-center gap-2">
        <label htmlFor={id} className="min-w-0 flex-1 font-medium">{label}</label>
        {given !== undefined && (
          <>
            <Badge tone="accent">{t("yours")}</Badge>
            <IconButton className="-my-1" label={t("advanced.reset", { name: label })} icon={RotateCcw} onClick={() => resetParam(field.name, id)} />
          </>
        )}
        {field.kind === "switch" && editor}
      </div>
      {field.kind !== "switch" && editor}
      {hint && <p className="mt-1 text-xs text-pretty text-muted">{hint}</p>}
    </div>
  );
}

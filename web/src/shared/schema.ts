/** JSON schema properties as fields of a form. */
import type { Schema } from "./api/types";

export interface Field {
  name: string;
  kind: "switch" | "choice" | "number" | "list" | "json" | "text";
  help?: string;
  unset?: string;
  initial?: unknown;
  choices: string[];
  integer: boolean;
  minimum?: number;
  maximum?: number;
  step: number;
}

export const humanised = (name: string): string => {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

/** The first alternative that is no null, references followed. */
function plain(property: Schema, root: Schema): Schema {
  const target = property.$ref?.split("/").pop();
  if (target) return plain({ ...root.$defs?.[target], ...property, $ref: undefined }, root);
  if (!property.anyOf) return property;
  const options = property.anyOf.map((option) => plain(option, root)).filter((option) => option.type !== "null");
  const choices = options.find((option) => option.enum);
  return { ...(options.length > 1 && choices ? choices : options[0]), ...property, anyOf: undefined };
}

function kindOf(schema: Schema): Field["kind"] {
  if (schema.enum) return "choice";
  if (schema.type === "boolean") return "switch";
  if (schema.type === "number" || schema.type === "integer") return "number";
  if (schema.type === "array" && schema.items?.type === "string") return "list";
  return schema.type === "string" ? "text" : "json";
}

export function fieldOf(name: string, property: Schema, root: Schema): Field {
  const schema = plain(property, root);
  const integer = schema.type === "integer";
  const maximum = schema.maximum ?? schema.exclusiveMaximum;
  const step = schema.multipleOf ?? (integer ? 1 : (maximum ?? 2) <= 1 ? 0.01 : 0.05);
  const minimum = schema.minimum ?? (schema.exclusiveMinimum === undefined ? undefined : schema.exclusiveMinimum + (integer ? 1 : 0));
  // "… at most [what the context leaves]": in brackets stands what holds where nothing is chosen.
  const [, help, unset] = /^(.*?)\s*(?:\[([^\]]+)\])?$/s.exec(schema.description ?? "") ?? [];
  return {
    name,
    kind: kindOf(schema),
    help,
    unset,
    initial: property.default ?? undefined,
    choices: (schema.enum ?? []).map(String),
    integer,
    minimum,
    maximum,
    step,
  };
}

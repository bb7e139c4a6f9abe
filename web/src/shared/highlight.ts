/** Colours for code in the languages that models mostly write; the model's own page knows more (model/languages.ts). */
import type { LanguageFn } from "highlight.js";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

/** The grammars of C++ and TypeScript read what these are, and the page is carried whole. */
const c: LanguageFn = (api) => ({ ...cpp(api), name: "C", aliases: ["h"] });
const javascript: LanguageFn = (api) => ({ ...typescript(api), name: "JavaScript", aliases: ["js", "jsx", "mjs", "cjs"] });

const LANGUAGES = {
  bash, c, cpp, css, diff, go, java, javascript, json, markdown, python, rust, sql, typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

/** Longer code stays plain: colouring it anew with each token would stall the page. */
const MAX_CHARACTERS = 20_000;

const asked = (info?: string): string => (info ?? "").trim().split(/[\s{:,]/)[0]!.toLowerCase();

export const languageName = (info?: string): string => hljs.getLanguage(asked(info))?.name ?? (asked(info) || "text");

/** HTML of nothing but escaped text and spans. */
export function highlighted(code: string, info?: string): string {
  const known = code.length <= MAX_CHARACTERS && hljs.getLanguage(asked(info));
  if (known) return hljs.highlight(code, { language: asked(info), ignoreIllegals: true }).value;
  return code.replace(/[&<>]/g, (character) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[character]!);
}

/** The page's words in the reader's language. Every language has every key: the compiler sees to it. */
import { preferences } from "../storage/preferences";
import { useStore } from "../store";
import { en } from "./en";
import { HELP } from "./help";
import { ru } from "./ru";
import { zh } from "./zh";

export type Key = keyof typeof en;
export type Words = Record<Key, string>;
export type Language = "en" | "ru" | "zh";
export type Translate = (key: Key, values?: Record<string, string | number>) => string;

export const LANGUAGE_NAMES: Record<Language, string> = { en: "English", ru: "Русский", zh: "中文" };

export function currentLanguage(): Language {
  const chosen = preferences.get().language;
  if (chosen) return chosen;
  const wanted = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGE_NAMES);
  return (wanted as Language | undefined) ?? "en";
}

/** Words of one part of a page in every language: the first has the keys, and the others must have them all. */
export function wording<Word extends string>(en: Record<Word, string>, ru: Record<NoInfer<Word>, string>, zh: Record<NoInfer<Word>, string>) {
  const words = { en, ru, zh };
  const say = (key: Word, values: Record<string, string | number> = {}): string =>
    words[currentLanguage()][key].replace(/\{(\w+)\}/g, (_, name: string) => formatted(values[name] ?? ""));
  const use = (): typeof say => {
    useStore(preferences, (p) => p.language);
    return say;
  };
  return { say, use };
}

const formatted = (value: string | number): string => (typeof value === "number" ? formatNumber(value) : value);

export const formatNumber = (value: number, digits = 0): string =>
  new Intl.NumberFormat(currentLanguage(), { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);

/** "1,234" up to 9,999, then "12.3K". */
export const formatCount = (value: number): string =>
  value < 10_000 ? formatNumber(value) : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);

/** How a language abbreviates units, each with the blank before it where the language has one. */
const UNITS: Record<Language, { second: string; minute: string; hour: string; bytes: string[] }> = {
  en: { second: " s", minute: " min", hour: " h", bytes: [" B", " kB", " MB", " GB", " TB"] },
  ru: { second: " с", minute: " мин", hour: " ч", bytes: [" Б", " кБ", " МБ", " ГБ", " ТБ"] },
  zh: { second: " 秒", minute: " 分钟", hour: " 小时", bytes: [" B", " kB", " MB", " GB", " TB"] },
};

export const formatSeconds = (seconds: number): string =>
  seconds < 10
    ? `${formatNumber(seconds, 1)}${UNITS[currentLanguage()].second}`
    : seconds < 60
      ? `${formatNumber(seconds)}${UNITS[currentLanguage()].second}`
      : `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** Bytes as "1.9 GB"; decimal, as disks and the command line have them. */
export function formatBytes(bytes: number): string {
  const units = UNITS[currentLanguage()].bytes;
  const at = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  const value = bytes / 1000 ** at;
  return `${formatNumber(value, at && value < 100 ? 1 : 0)}${units[at]}`;
}

/** "3 min", "2 h 10 min": for what lasts long. */
export function formatDuration(seconds: number): string {
  const { second, minute, hour } = UNITS[currentLanguage()];
  if (seconds < 60) return `${formatNumber(Math.max(0, Math.round(seconds)))}${second}`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes}${minute}`;
  return `${formatNumber(Math.floor(minutes / 60))}${hour}${minutes % 60 ? ` ${minutes % 60}${minute}` : ""}`;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3600], ["minute", 60]];

/** "3 minutes ago"; the exact time belongs into a title. */
export function formatAgo(moment: string, now = Date.now()): string {
  const seconds = (Date.parse(moment) - now) / 1000;
  const format = new Intl.RelativeTimeFormat(currentLanguage(), { numeric: "auto" });
  for (const [unit, length] of STEPS) if (Math.abs(seconds) >= length) return format.format(Math.round(seconds / length), unit);
  return format.format(0, "second");
}

export const formatMoment = (moment: string): string =>
  new Intl.DateTimeFormat(currentLanguage(), { dateStyle: "medium", timeStyle: "medium" }).format(new Date(moment));

/** Whether the page has words for this name, as of parameters, which the server names. */
export const isKey = (key: string): key is Key => key in en;

/** What a setting means: in the reader's language where there are words, else as the server says. */
export const helpFor = (name: string, english: string | undefined): string | undefined => HELP[currentLanguage()]?.[name] ?? english;

const ours = wording<Key>(en, ru, zh);
export const translate: Translate = ours.say;
export const useT: () => Translate = ours.use;

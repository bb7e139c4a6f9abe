/** Models that read documents, see, hear or draw have a page of their own, behind the studio's address. */
import { ExternalLink } from "lucide-react";
import { useT, wording } from "~/shared/i18n";
import { servings } from "../api";
import { familyTitle } from "../models/families";
import { MAIN_LINK } from "./links";

const { use: useWords } = wording(
  { text: "It takes pictures, files or sound, not a conversation. Its own page has the form for them.", open: "Open its page" },
  { text: "Ей нужны картинки, файлы или звук, а не беседа. Форма для них на её собственной странице.", open: "Открыть её страницу" },
  { text: "它处理图片、文件或声音，而不是对话。表单在它自己的页面上。", open: "打开它的页面" },
);

/** The base's own name among the adapters of a page. */
export const UNTOUCHED = "base";
const TALKS = new Set(["language", "state_space", "multimodal"]);
/** An unknown family is given the window to talk in, which says itself what does not work. */
export const talks = (family: string): boolean => !family || TALKS.has(family);

export function ModelPage({ serving, family, adapter }: { serving: number; family: string; adapter: string }) {
  const t = useWords();
  const shared = useT();
  return (
    <div className="flex flex-wrap items-center justify-between gap-3">
      <p className="max-w-prose text-pretty text-muted"><span className="font-medium text-ink">{familyTitle(family, shared)}.</span> {t("text")}</p>
      <a href={servings.pagePath(serving, adapter)} target="_blank" rel="noreferrer" className={MAIN_LINK}><ExternalLink size={16} aria-hidden />{t("open")}</a>
    </div>
  );
}

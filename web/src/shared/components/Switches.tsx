/** The switches that every page has: language and theme, as menus and as commands of the palette. */
import { Languages, Monitor, Moon, Sun } from "lucide-react";
import { currentLanguage, type Language, LANGUAGE_NAMES, type Translate, useT } from "../i18n";
import { preferences, type Theme } from "../storage/preferences";
import { useStore } from "../store";
import { Menu } from "./Menu";
import type { Action } from "./Palette";

const MENU = "grid size-9 shrink-0 place-items-center rounded-md text-muted hover:bg-raised hover:text-ink";
const THEMES: { theme: Theme; icon: typeof Sun }[] = [
  { theme: "system", icon: Monitor },
  { theme: "light", icon: Sun },
  { theme: "dark", icon: Moon },
];

export function ThemeMenu() {
  const t = useT();
  const chosen = useStore(preferences, (p) => p.theme);
  const Icon = THEMES.find(({ theme }) => theme === chosen)?.icon ?? Monitor;
  const items = THEMES.map(({ theme, icon }) => ({
    label: t(`theme.${theme}`), icon, checked: theme === chosen, onSelect: () => preferences.set({ theme }),
  }));
  return (
    <Menu label={t("theme.title")} className={MENU} items={items}>
      <Icon size={18} aria-hidden />
    </Menu>
  );
}

export function LanguageMenu() {
  const t = useT();
  const chosen = currentLanguage();
  const items = (Object.keys(LANGUAGE_NAMES) as Language[]).map((language) => ({
    label: LANGUAGE_NAMES[language], checked: language === chosen, onSelect: () => preferences.set({ language }),
  }));
  return (
    <Menu label={t("language.title")} className={MENU} items={items}>
      <Languages size={18} aria-hidden />
    </Menu>
  );
}

/** The same by keyboard. */
export const pageActions = (t: Translate): Action[] => [
  ...THEMES.map(({ theme, icon }) => ({ label: `${t("theme.title")}: ${t(`theme.${theme}`)}`, icon, run: () => preferences.set({ theme }) })),
  ...(Object.keys(LANGUAGE_NAMES) as Language[]).map((language) => ({
    label: LANGUAGE_NAMES[language], icon: Languages, run: () => preferences.set({ language }),
  })),
];

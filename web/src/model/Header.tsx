/** Which model this is, how it is, and the switches of the page. */
import { Command, PanelLeft, SlidersHorizontal } from "lucide-react";
import type { Info } from "~/shared/api/types";
import { IconButton } from "~/shared/components/Button";
import { LanguageMenu, ThemeMenu } from "~/shared/components/Switches";
import { formatCount, useT } from "~/shared/i18n";
import { familyTitle } from "./families";
import { togglePanel } from "./panels";
import { Status } from "./Status";

interface HeaderProps {
  info: Info;
  hasSidebar: boolean;
  hasSettings: boolean;
  onPalette: () => void;
}

export function Header({ info, hasSidebar, hasSettings, onPalette }: HeaderProps) {
  const t = useT();
  const parameters = info.model?.num_parameters;
  const facts = [
    familyTitle(info.family, t),
    typeof parameters === "number" ? formatCount(parameters) : undefined,
    info.precision,
    info.device,
  ].filter(Boolean);
  return (
    <header className="flex h-13 shrink-0 items-center gap-1 border-b border-line bg-panel px-2">
      {hasSidebar && <IconButton label={t("chat.history")} icon={PanelLeft} onClick={() => togglePanel("sidebar")} />}
      <div className="ml-1 flex min-w-0 flex-1 items-baseline gap-2">
        <h1 className="truncate text-base font-semibold" title={info.id}>{shortName(info.id)}</h1>
        <span className="hidden truncate text-xs text-muted md:inline">{facts.join(" · ")}</span>
      </div>
      <Status />
      <span className="hidden sm:contents">
        <IconButton label={`${t("palette.title")} (Ctrl K)`} icon={Command} onClick={onPalette} />
      </span>
      <LanguageMenu />
      <ThemeMenu />
      {hasSettings && <IconButton label={t("settings.title")} icon={SlidersHorizontal} onClick={() => togglePanel("settings")} />}
    </header>
  );
}

/** Of a folder or a Hub name its last part; the whole stands in the tooltip. */
const shortName = (id: string): string => id.split(/[\\/]/).filter(Boolean).pop() ?? id;

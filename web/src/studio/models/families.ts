/** What stands for a family of models. */
import { AudioLines, Box, Eye, FileText, Image, Layers, type LucideIcon, MessageSquareText, Tags, Waves, Waypoints } from "lucide-react";
import { isKey, type Translate } from "~/shared/i18n";
import { humanised } from "~/shared/schema";

const ICONS: Record<string, LucideIcon> = {
  language: MessageSquareText, state_space: Waves, multimodal: Layers, diffusion: Image, embedding: Waypoints, classifier: Tags, vision: Eye,
  document: FileText, audio: AudioLines,
};

export const familyIcon = (family: string): LucideIcon => ICONS[family] ?? Box;

export function familyTitle(family: string, shared: Translate): string {
  const key = `family.${family}`;
  return isKey(key) ? shared(key) : humanised(family);
}

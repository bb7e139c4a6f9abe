import { Dices, ImagePlus, Paintbrush, X } from "lucide-react";
import { useId } from "react";
import type { Info } from "~/shared/api/types";
import { IconButton } from "~/shared/components/Button";
import { SchemaForm } from "~/shared/components/SchemaForm";
import { useT } from "~/shared/i18n";
import { DropArea } from "../DropArea";
import { picturesOf } from "../pictures";
import { RunButton } from "../RunButton";
import { setSettings, useSettings } from "../settings";
import { FIELD, TextField } from "../SplitPage";
import type { Calling } from "../useCall";
import { MaskPainter } from "./MaskPainter";

export interface Wish {
  prompt: string;
  negative: string;
  /** A data URL to start from; empty: from noise. */
  image: string;
  /** White where that picture is to be drawn anew; empty: everywhere. */
  mask: string;
}

interface WishProps {
  info: Info;
  wish: Wish;
  onWish: (wish: Wish) => void;
  call: Pick<Calling<unknown>, "running" | "progress" | "stop">;
}

const NUMBERS = ["steps", "guidance_scale", "width", "height", "n", "scheduler"];

export function WishForm({ info, wish, onWish, call }: WishProps) {
  const t = useT();
  const settings = useSettings(info);
  const submit = (): void => document.querySelector<HTMLFormElement>("form")?.requestSubmit();
  const change = (values: Record<string, unknown>): void => setSettings(info, values);
  const names = wish.image ? ["strength", ...NUMBERS] : NUMBERS;
  return (
    <>
      <TextField label={t("param.prompt")} rows={4} placeholder={t("image.promptHint")} value={wish.prompt} onChange={(prompt) => onWish({ ...wish, prompt })} onSubmit={submit} />
      <TextField label={t("image.negative")} rows={2} placeholder={t("image.negativeHint")} value={wish.negative} onChange={(negative) => onWish({ ...wish, negative })} onSubmit={submit} />
      <div className="sticky bottom-0 z-10 order-last -mx-4 -mb-4 border-t border-line bg-panel p-4">
        <RunButton label={t("image.draw")} icon={Paintbrush} disabled={!wish.prompt.trim() && !wish.image} call={call} />
      </div>
      <StartPicture wish={wish} onWish={onWish} canPaint={canInpaint(info)} />
      <Seed value={settings.seed} onChange={(seed) => { const { seed: _, ...rest } = settings; change(seed === undefined ? rest : { ...rest, seed }); }} />
      {info.parameters && <SchemaForm schema={info.parameters} names={names} values={settings} defaults={info.defaults ?? {}} onChange={change} />}
    </>
  );
}

/** What a server does not say it cannot may be tried: it says why where it has to refuse. */
const canInpaint = ({ parameters, capabilities }: Info): boolean => Boolean(parameters?.properties?.["mask_image"]) && capabilities.inpaint !== false;

interface StartProps {
  wish: Wish;
  onWish: (wish: Wish) => void;
  canPaint: boolean;
}

function StartPicture({ wish, onWish, canPaint }: StartProps) {
  const t = useT();
  const onImage = (image: string): void => onWish({ ...wish, image, mask: "" });
  const { image, mask } = wish;
  if (image) {
    return (
      <div className={`relative ${canPaint ? "" : "w-max"}`}>
        {canPaint ? (
          <MaskPainter key={image} url={image} mask={mask} onMask={(painted) => onWish({ ...wish, mask: painted })} />
        ) : (
          <img src={image} alt={t("image.start")} className="max-h-32 rounded-md border border-line" />
        )}
        <IconButton small kind="plain" label={t("image.noStart")} icon={X} className="absolute -top-2 -right-2 rounded-full!" onClick={() => onImage("")} />
      </div>
    );
  }
  return <DropArea label={t("image.dropStart")} accept="image/*" icon={ImagePlus} onFiles={(files) => void picturesOf(files).then(([url]) => url && onImage(url))} />;
}

const MAX_SEED = 2 ** 31;

function Seed({ value, onChange }: { value: unknown; onChange: (seed: number | undefined) => void }) {
  const t = useT();
  const id = useId();
  const fixed = value !== undefined;
  return (
    <div>
      <div className="mb-1 flex items-center justify-between">
        <label htmlFor={id} className="font-medium">{t("param.seed")}</label>
        <div role="group" aria-label={t("param.seed")} className="flex rounded-md bg-raised p-0.5 text-xs">
          {([false, true] as const).map((choice) => (
            <button
              key={String(choice)}
              type="button"
              aria-pressed={fixed === choice}
              onClick={() => onChange(choice ? Math.floor(Math.random() * MAX_SEED) : undefined)}
              className={`rounded-md px-2 py-1 font-medium ${fixed === choice ? "bg-panel shadow-low" : "text-muted"}`}
            >
              {t(choice ? "image.seedFixed" : "image.seedRandom")}
            </button>
          ))}
        </div>
      </div>
      {fixed && (
        <div className="flex gap-2">
          <input id={id} type="number" min={0} className={`${FIELD} tabular-nums`} value={String(value)} onChange={(event) => onChange(Math.max(0, Number.parseInt(event.target.value, 10) || 0))} />
          <IconButton label={t("image.seedOther")} icon={Dices} kind="plain" onClick={() => onChange(Math.floor(Math.random() * MAX_SEED))} />
        </div>
      )}
    </div>
  );
}

/** Drawing: the wish at the left, the picture at the right, sharpening while the model takes its steps. */
import { ImageIcon } from "lucide-react";
import { useEffect, useState } from "react";
import type { Blob64, Info } from "~/shared/api/types";
import { Empty, ErrorNote } from "~/shared/components/states";
import { dataUrl } from "~/shared/files";
import { useT } from "~/shared/i18n";
import { useStore } from "~/shared/store";
import { newId } from "../chat/conversation";
import { setSettings, useCallFields, useSettings } from "../settings";
import { SplitPage } from "../SplitPage";
import { useCall } from "../useCall";
import { addPictures, gallery, loadGallery, type Picture } from "./gallery";
import { GalleryStrip, PictureView } from "./PictureView";
import { type Wish, WishForm } from "./WishForm";

interface Drawn {
  images: (Blob64 & { seed?: number })[];
  parameters: Record<string, unknown>;
  seconds?: number;
}

const PREVIEW_EVERY = 2;
/** Shown apart, or too long to show. */
const KEPT_APART = new Set(["image", "mask_image", "preview_every", "adapter"]);
const MAX_SEED = 2 ** 31;

export function ImagePage({ info }: { info: Info }) {
  const t = useT();
  const fields = useCallFields(info);
  const settings = useSettings(info);
  const call = useCall<Drawn>();
  const [wish, setWish] = useState<Wish>({ prompt: "", negative: "", image: "", mask: "" });
  const { pictures, shown } = useStore(gallery, (s) => s);
  useEffect(() => void loadGallery(info.id), [info.id]);

  const draw = async (): Promise<void> => {
    if (!wish.prompt.trim() && !wish.image) return;
    // Chosen here, so that the seed of every picture is known and can be used again.
    const seed = settings.seed ?? Math.floor(Math.random() * MAX_SEED);
    const asked = {
      preview_every: PREVIEW_EVERY, ...fields, seed, prompt: wish.prompt,
      ...(wish.negative ? { negative_prompt: wish.negative } : {}), ...(wish.image ? { image: wish.image } : {}),
      ...(wish.image && wish.mask ? { mask_image: wish.mask } : {}),
    };
    const drawn = await call.run(asked);
    if (!drawn) return;
    const parameters = { ...asked, ...drawn.parameters, ...(drawn.seconds ? { seconds: drawn.seconds } : {}) };
    const kept = Object.fromEntries(Object.entries(parameters).filter(([name, value]) => !KEPT_APART.has(name) && value !== "" && value !== null));
    addPictures(
      drawn.images.map((image, index): Picture => ({
        id: newId(), model: info.id, url: dataUrl(image), created: Date.now() - index, seed: image.seed, parameters: { ...kept, seed: image.seed ?? seed },
      })),
    );
  };

  const reuse = ({ parameters }: Picture): void => {
    const { prompt = "", negative_prompt = "", seconds: _, ...rest } = parameters;
    setWish((before) => ({ ...before, prompt: String(prompt), negative: String(negative_prompt) }));
    const known = Object.entries(rest).filter(([name]) => name in (info.parameters?.properties ?? {}));
    setSettings(info, Object.fromEntries(known));
  };

  const picture = pictures.find(({ id }) => id === shown) ?? pictures[0];
  const samples = (["sample.image1", "sample.image2"] as const).map((key) => ({ label: t(key), onSelect: () => setWish({ ...wish, prompt: t(key) }) }));
  return (
    <SplitPage info={info} hasSettings={false} onSubmit={() => void draw()} input={<WishForm info={info} wish={wish} onWish={setWish} call={call} />}>
      {call.error && <ErrorNote error={call.error} onRetry={() => void draw()} />}
      {call.running ? (
        <Canvas preview={call.preview} />
      ) : picture ? (
        <PictureView picture={picture} onReuse={reuse} onStart={(image) => setWish({ ...wish, image, mask: "" })} />
      ) : (
        <Empty icon={ImageIcon} title={t("image.emptyTitle")} text={t("image.emptyText")} samples={samples} />
      )}
      <GalleryStrip pictures={pictures} shown={call.running ? undefined : picture?.id} />
    </SplitPage>
  );
}

function Canvas({ preview }: { preview: Blob64 | null }) {
  const t = useT();
  return (
    <div className="grid min-h-64 flex-1 place-items-center overflow-hidden rounded-lg border border-line bg-panel">
      {preview ? (
        <img src={dataUrl(preview)} alt={t("image.preview")} className="size-full max-h-[62dvh] object-contain" />
      ) : (
        <div className="skeleton aspect-square h-full max-h-[62dvh] max-w-full" />
      )}
    </div>
  );
}

import { Download, ImagePlus, RotateCcw, Trash2 } from "lucide-react";
import { Button, IconButton } from "~/shared/components/Button";
import { humanised } from "~/shared/schema";
import { bytesOfDataUrl, download, fileName } from "~/shared/files";
import { formatNumber, isKey, useT } from "~/shared/i18n";
import { gallery, type Picture, removePicture } from "./gallery";

interface ViewProps {
  picture: Picture;
  onReuse: (picture: Picture) => void;
  onStart: (url: string) => void;
}

const textOf = (value: unknown): string =>
  typeof value === "number" ? (Number.isInteger(value) ? String(value) : formatNumber(value, 2)) : typeof value === "string" ? value : JSON.stringify(value);

export function PictureView({ picture, onReuse, onStart }: ViewProps) {
  const t = useT();
  const { prompt, negative_prompt, ...rest } = picture.parameters;
  const save = (): void => download(`${fileName(String(prompt ?? "picture"))}-${picture.seed ?? ""}.png`, bytesOfDataUrl(picture.url), "image/png");
  return (
    <figure className="appear flex flex-col gap-3 md:min-h-0 md:flex-1">
      <div className="grid min-h-64 flex-1 place-items-center overflow-hidden rounded-lg border border-line bg-panel">
        <img src={picture.url} alt={String(prompt ?? "")} className="size-full max-h-[62dvh] object-contain" />
      </div>
      <figcaption className="flex flex-col gap-2">
        <div className="flex flex-wrap items-start justify-between gap-2">
          <p className="min-w-0 flex-1 basis-60 text-base break-words">{String(prompt ?? "")}</p>
          <div className="flex gap-1">
            <Button icon={RotateCcw} onClick={() => onReuse(picture)}>{t("image.reuse")}</Button>
            <IconButton label={t("image.asStart")} icon={ImagePlus} onClick={() => onStart(picture.url)} />
            <IconButton label={t("download")} icon={Download} onClick={save} />
            <IconButton label={t("delete")} icon={Trash2} onClick={() => removePicture(picture)} />
          </div>
        </div>
        {typeof negative_prompt === "string" && negative_prompt && <p className="text-muted">− {negative_prompt}</p>}
        <dl className="flex flex-wrap gap-x-4 gap-y-1 text-xs">
          {Object.entries(rest).map(([name, value]) => (
            <div key={name} className="flex gap-1">
              <dt className="text-muted">{isKey(`param.${name}`) ? t(`param.${name}` as "param.seed") : humanised(name)}</dt>
              <dd className="tabular-nums">{textOf(value)}</dd>
            </div>
          ))}
        </dl>
      </figcaption>
    </figure>
  );
}

export function GalleryStrip({ pictures, shown }: { pictures: Picture[]; shown?: string }) {
  const t = useT();
  if (!pictures.length) return null;
  return (
    <ul aria-label={t("image.gallery")} className="-mx-1 flex shrink-0 gap-2 overflow-x-auto p-1">
      {pictures.map(({ id, url, parameters }) => (
        <li key={id} className="shrink-0">
          <button type="button" aria-label={String(parameters.prompt ?? id)} aria-current={id === shown || undefined} onClick={() => gallery.set({ shown: id })} className={`block overflow-hidden rounded-md border-2 ${id === shown ? "border-accent" : "border-transparent hover:border-line-strong"}`}>
            <img src={url} alt="" loading="lazy" className="size-16 object-cover" />
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Pictures that the reader drops, pastes or chooses, as data URLs that the server can read. */
import { type ReactNode, useRef } from "react";
import { readDataUrl } from "~/shared/files";

/** What the server's decoder reads; others, as AVIF or SVG, are drawn anew as PNG. */
const KNOWN = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

export async function picturesOf(files: Iterable<File>): Promise<string[]> {
  const pictures = [...files].filter((file) => file.type.startsWith("image/"));
  return Promise.all(pictures.map(async (file) => (KNOWN.includes(file.type) ? readDataUrl(file) : asPng(await readDataUrl(file)))));
}

export const isPdf = (url: string): boolean => url.startsWith("data:application/pdf");

/** Pictures, and PDF files as they are: the server draws their pages. */
export async function pagesOf(files: Iterable<File>): Promise<string[]> {
  const chosen = [...files];
  const pdfs = chosen.filter((file) => file.type === "application/pdf");
  return [...(await picturesOf(chosen)), ...(await Promise.all(pdfs.map(readDataUrl)))];
}

export async function loadPicture(url: string): Promise<HTMLImageElement> {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  return picture;
}

async function asPng(url: string): Promise<string> {
  const picture = await loadPicture(url);
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  canvas.getContext("2d")!.drawImage(picture, 0, 0);
  return canvas.toDataURL("image/png");
}

/** A hidden file chooser: put `input` into the page, call `open`. */
export function usePictureInput(onPictures: (urls: string[]) => void, multiple = true): { input: ReactNode; open: () => void } {
  const ref = useRef<HTMLInputElement>(null);
  const input = (
    <input
      ref={ref}
      type="file"
      accept="image/*"
      multiple={multiple}
      hidden
      onChange={(event) => {
        void picturesOf(event.target.files ?? []).then(onPictures);
        event.target.value = "";
      }}
    />
  );
  return { input, open: () => ref.current?.click() };
}

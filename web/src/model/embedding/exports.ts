/** Vectors as files. */
import { download } from "~/shared/files";

export interface Embedded {
  /** Texts, then the file names of pictures. */
  texts: string[];
  /** Data URLs of pictures, at the places of their names; nothing at those of texts. */
  pictures: (string | undefined)[];
  vectors: number[][];
}

export const hasPictures = ({ pictures }: Embedded): boolean => pictures.some(Boolean);

export const saveJson = ({ texts, pictures, vectors }: Embedded): void =>
  download("embeddings.json", JSON.stringify(texts.map((text, i) => ({ [pictures[i] ? "image" : "text"]: text, embedding: vectors[i] }))), "application/json");

/** A cell that begins with one of these would be read as a formula by a spreadsheet. */
const cell = (text: string): string => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;

export function saveCsv({ texts, vectors }: Embedded): void {
  const head = ["text", ...(vectors[0] ?? []).map((_, i) => `d${i}`)].join(",");
  download("embeddings.csv", [head, ...texts.map((text, i) => [cell(text), ...vectors[i]!].join(","))].join("\n"), "text/csv");
}

/** Version 1.0 of https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, 32-bit floats, one row per text. */
export function npy(vectors: number[][]): Uint8Array<ArrayBuffer> {
  const columns = vectors[0]?.length ?? 0;
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${vectors.length}, ${columns}), }`;
  const prefix = 10;
  const header = `${dict.padEnd(Math.ceil((prefix + dict.length + 1) / 64) * 64 - prefix - 1)}\n`;
  const bytes = new Uint8Array(prefix + header.length + vectors.length * columns * 4);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  const view = new DataView(bytes.buffer);
  view.setUint16(8, header.length, true);
  bytes.set(new TextEncoder().encode(header), prefix);
  let at = prefix + header.length;
  for (const vector of vectors) for (const value of vector) { view.setFloat32(at, value, true); at += 4; }
  return bytes;
}

export const saveNpy = ({ vectors }: Embedded): void => download("embeddings.npy", npy(vectors), "application/octet-stream");

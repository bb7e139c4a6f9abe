/** Points on a canvas: ten thousand are drawn in a frame. */
import { type PointerEvent, useEffect, useMemo, useState } from "react";
import { useT } from "~/shared/i18n";
import { loadPicture } from "../pictures";
import { useCanvas } from "../useCanvas";
import { type Embedded, hasPictures } from "./exports";

interface ScatterProps {
  points: [number, number][];
  embedded: Embedded;
  chosen: number | null;
  near: number[];
  onChoose: (index: number | null) => void;
}

const MARGIN_PX = 28;
const REACH_PX = 14;
const LABEL_GAP_PX = 10;
const LINE_PX = 14;
const MAX_LABELS = 30;
const LABEL_CHARACTERS = 28;
const PICTURE_PX = 40;

const shortened = (text: string): string => (text.length > LABEL_CHARACTERS ? `${text.slice(0, LABEL_CHARACTERS - 1)}…` : text);

export function Scatter({ points, embedded, chosen, near, onChoose }: ScatterProps) {
  const t = useT();
  const { ref, size, colours } = useCanvas();
  const { texts, pictures } = embedded;
  const loaded = useLoaded(pictures);
  const [hovered, setHovered] = useState<number | null>(null);
  const places = useMemo(() => placed(points, size.width, size.height), [points, size]);

  useEffect(() => {
    const pen = ref.current?.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, size.width, size.height);
    const marked = new Set(near);
    // Pictures lie beneath: a point that they hid could not be found.
    const order = places.map((_, index) => index).sort((a, b) => Number(!loaded[a]) - Number(!loaded[b]));
    for (const index of order) {
      const [x, y] = places[index]!;
      const isLit = index === chosen || index === hovered;
      const isMarked = isLit || marked.has(index);
      const picture = loaded[index];
      if (picture) {
        pen.globalAlpha = isMarked || chosen === null ? 1 : 0.45;
        drawPicture(pen, picture, x, y, isMarked ? colours.accent : colours.line);
        continue;
      }
      pen.beginPath();
      pen.arc(x, y, isLit ? 7 : marked.has(index) ? 6 : points.length > 2000 ? 2.5 : 5, 0, 2 * Math.PI);
      pen.globalAlpha = isMarked ? 1 : chosen === null ? 0.65 : 0.35;
      pen.fillStyle = isMarked || chosen === null ? colours.accent : colours.muted;
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.font = "12px ui-sans-serif, system-ui, sans-serif";
    pen.fillStyle = colours.ink;
    if (points.length <= MAX_LABELS) drawLabels(pen, places, embedded, size.width);
  }, [places, colours, hovered, chosen, near, embedded, loaded, size, points.length, ref]);

  const under = (event: PointerEvent): number | null => {
    const box = event.currentTarget.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best: number | null = null;
    let reach = REACH_PX;
    places.forEach(([px, py], index) => {
      const distance = Math.hypot(px - x, py - y);
      if (distance - (pictures[index] ? PICTURE_PX / 2 : 0) < reach) [best, reach] = [index, distance - (pictures[index] ? PICTURE_PX / 2 : 0)];
    });
    return best;
  };
  const [tipX, tipY] = hovered === null ? [0, 0] : (places[hovered] ?? [0, 0]);
  return (
    <div
      className={`relative min-h-80 min-w-0 flex-1 overflow-hidden rounded-lg border border-line bg-panel ${hovered === null ? "" : "cursor-pointer"}`}
      onPointerMove={(event) => setHovered(under(event))}
      onPointerLeave={() => setHovered(null)}
      onClick={() => onChoose(hovered)}
    >
      <canvas ref={ref} role="img" aria-label={t(hasPictures(embedded) ? "embed.mapLabelSee" : "embed.mapLabel", { n: points.length })} className="absolute inset-0 size-full" />
      {hovered !== null && (
        <div className="pointer-events-none absolute z-10 max-w-64 rounded-md border border-line bg-panel px-3 py-2 text-xs shadow-lifted" style={{ left: Math.min(tipX + 12, Math.max(0, size.width - 268)), ...(tipY > size.height / 2 ? { bottom: size.height - tipY + 12 } : { top: tipY + 12 }) }}>
          {pictures[hovered] && <img src={pictures[hovered]} alt="" className="mb-1 max-h-32 max-w-full rounded-sm" />}
          {texts[hovered]}
        </div>
      )}
    </div>
  );
}

/** The pictures that are there, ready to be drawn. */
function useLoaded(urls: (string | undefined)[]): (HTMLImageElement | undefined)[] {
  const [loaded, setLoaded] = useState<(HTMLImageElement | undefined)[]>([]);
  useEffect(() => {
    let isCurrent = true;
    setLoaded([]);
    if (urls.some(Boolean)) {
      void Promise.all(urls.map((url) => (url ? loadPicture(url).catch(() => undefined) : undefined))).then((all) => isCurrent && setLoaded(all));
    }
    return () => {
      isCurrent = false;
    };
  }, [urls]);
  return loaded;
}

function drawPicture(pen: CanvasRenderingContext2D, picture: HTMLImageElement, x: number, y: number, frame: string): void {
  const scale = PICTURE_PX / Math.max(picture.naturalWidth, picture.naturalHeight);
  const [width, height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
  pen.drawImage(picture, x - width / 2, y - height / 2, width, height);
  pen.strokeStyle = frame;
  pen.lineWidth = 2;
  pen.strokeRect(x - width / 2, y - height / 2, width, height);
}

/** Beside each point its text, unless another stands there already. */
function drawLabels(pen: CanvasRenderingContext2D, places: [number, number][], { texts, pictures }: Embedded, width: number): void {
  const taken: [left: number, right: number, y: number, height: number][] = places
    .filter((_, index) => pictures[index])
    .map(([x, y]) => [x - PICTURE_PX / 2, x + PICTURE_PX / 2, y, (PICTURE_PX + LINE_PX) / 2]);
  places.forEach(([x, y], index) => {
    if (pictures[index]) return;
    const label = shortened(texts[index] ?? "");
    const long = pen.measureText(label).width;
    const left = x + LABEL_GAP_PX + long > width ? x - LABEL_GAP_PX - long : x + LABEL_GAP_PX;
    if (taken.some(([l, r, at, height]) => Math.abs(at - y) < height && left < r && left + long > l)) return;
    taken.push([left, left + long, y, LINE_PX]);
    pen.fillText(label, left, y + 4);
  });
}

/** Into the window, each axis for itself. */
function placed(points: [number, number][], width: number, height: number): [number, number][] {
  const scale = (axis: 0 | 1, extent: number): ((value: number) => number) => {
    let [low, high] = [Infinity, -Infinity];
    for (const point of points) {
      low = Math.min(low, point[axis]);
      high = Math.max(high, point[axis]);
    }
    const span = high - low;
    return (value) => (span > 1e-12 ? MARGIN_PX + ((value - low) / span) * (extent - 2 * MARGIN_PX) : extent / 2);
  };
  const [x, y] = [scale(0, width), scale(1, height)];
  return points.map((point) => [x(point[0]), height - y(point[1])]);
}

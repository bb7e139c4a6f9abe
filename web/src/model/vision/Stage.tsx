/** A picture with what was found in it. */
import { type MouseEvent, useEffect, useRef, useState } from "react";
import type { Blob64 } from "~/shared/api/types";
import { dataUrl } from "~/shared/files";
import { useT } from "~/shared/i18n";
import type { Layer } from "./layers";
import { useTinted } from "./masks";

interface StageProps {
  url: string;
  /** Pixels of the picture, in which boxes are counted. */
  width: number;
  height: number;
  layers: Layer[];
  lit: string | null;
  onLit: (id: string | null) => void;
  points?: [number, number][];
  onPoint?: (point: [number, number]) => void;
}

const LABEL_PX = 12;

export function Stage({ url, width, height, layers, lit, onLit, points = [], onPoint }: StageProps) {
  const t = useT();
  const unit = Math.max(width, height) / 100;
  const { ref, shown } = useShownWidth();
  // Readable on a phone too, where the picture is small.
  const font = Math.max(unit * 2.2, shown ? (LABEL_PX * width) / shown : 0);
  const place = (event: MouseEvent<SVGSVGElement>): void => {
    const box = event.currentTarget.getBoundingClientRect();
    onPoint?.([Math.round(((event.clientX - box.left) / box.width) * width), Math.round(((event.clientY - box.top) / box.height) * height)]);
  };
  return (
    <div className="relative mx-auto w-max max-w-full overflow-hidden rounded-lg border border-line">
      <img src={url} alt={t("picture.n", { n: 1 })} className="block max-h-[70dvh] max-w-full" />
      <svg ref={ref} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" className={`absolute inset-0 size-full ${onPoint ? "cursor-crosshair" : ""}`} onClick={place} role="img" aria-label={t("vision.found", { n: layers.length })}>
        {layers.map((layer) => {
          const shared = { layer, dim: lit !== null && lit !== layer.id, onLit };
          if (layer.depth) return <image key={layer.id} href={dataUrl(layer.depth)} width={width} height={height} preserveAspectRatio="none" />;
          if (layer.mask) return <MaskLayer key={layer.id} {...shared} mask={layer.mask} width={width} height={height} />;
          return <BoxLayer key={layer.id} {...shared} font={font} />;
        })}
        {points.map(([x, y], index) => (
          <circle key={index} cx={x} cy={y} r={unit} fill="var(--accent)" stroke="white" strokeWidth={unit / 4} />
        ))}
      </svg>
    </div>
  );
}

/** Width on the screen, which follows the window. */
function useShownWidth() {
  const ref = useRef<SVGSVGElement>(null);
  const [shown, setShown] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setShown(entry?.contentRect.width ?? 0));
    observer.observe(ref.current!);
    return () => observer.disconnect();
  }, []);
  return { ref, shown };
}

interface LayerProps {
  layer: Layer;
  dim: boolean;
  onLit: (id: string | null) => void;
}

function MaskLayer({ layer, mask, dim, width, height }: LayerProps & { mask: Blob64; width: number; height: number }) {
  const url = useTinted(mask, layer.colour);
  return url && <image href={url} width={width} height={height} preserveAspectRatio="none" opacity={dim ? 0.12 : 0.55} />;
}

function BoxLayer({ layer: { id, label, colour, box = [0, 0, 0, 0] }, dim, onLit, font }: LayerProps & { font: number }) {
  const [x1, y1, x2, y2] = box;
  // Above the box where there is room, else inside.
  const top = y1 > font * 1.5 ? y1 - font * 1.4 : y1;
  return (
    <g opacity={dim ? 0.2 : 1} onPointerEnter={() => onLit(id)} onPointerLeave={() => onLit(null)}>
      <rect x={x1} y={y1} width={Math.max(0, x2 - x1)} height={Math.max(0, y2 - y1)} fill={colour} fillOpacity={0.08} stroke={colour} strokeWidth={2.5} vectorEffect="non-scaling-stroke" />
      {label && (
        <>
          <rect x={x1} y={top} width={(label.length * 0.62 + 0.8) * font} height={font * 1.4} fill={colour} rx={font / 5} />
          <text x={x1 + font * 0.4} y={top + font} fontSize={font} fontWeight={600} fill="oklch(0.18 0.02 280)">{label}</text>
        </>
      )}
    </g>
  );
}

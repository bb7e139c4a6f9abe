/** Painted over the picture that drawing starts from: what is to be drawn anew. */
import { Eraser } from "lucide-react";
import { type PointerEvent, useId, useRef, useState } from "react";
import { Button } from "~/shared/components/Button";
import { useT } from "~/shared/i18n";

interface PainterProps {
  url: string;
  /** A data URL, white where it is to be drawn anew; empty: everywhere. */
  mask: string;
  onMask: (mask: string) => void;
}

/** The mask is brought to the picture's size by the server. */
const MAX_SIDE = 1024;
const BRUSH_PX = { min: 6, max: 90, start: 32 };

export function MaskPainter({ url, mask, onMask }: PainterProps) {
  const t = useT();
  const id = useId();
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = useRef<[number, number] | null>(null);
  const [brush, setBrush] = useState(BRUSH_PX.start);
  const [at, setAt] = useState<[number, number] | null>(null);

  const size = ({ naturalWidth: width, naturalHeight: height }: HTMLImageElement): void => {
    const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
    if (canvas.current) Object.assign(canvas.current, { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) });
  };
  const stroke = (event: PointerEvent<HTMLCanvasElement>): void => {
    const box = event.currentTarget.getBoundingClientRect();
    const here: [number, number] = [event.clientX - box.left, event.clientY - box.top];
    setAt(here);
    const pen = event.currentTarget.getContext("2d");
    if (!pen || !last.current) return;
    const scale = event.currentTarget.width / box.width;
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = brush * scale;
    pen.strokeStyle = getComputedStyle(event.currentTarget).color;
    pen.beginPath();
    // A click alone is a line without length, which leaves a round spot.
    pen.moveTo(last.current[0] * scale, last.current[1] * scale);
    pen.lineTo(here[0] * scale, here[1] * scale);
    pen.stroke();
    last.current = here;
  };
  const begin = (event: PointerEvent<HTMLCanvasElement>): void => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    const box = event.currentTarget.getBoundingClientRect();
    last.current = [event.clientX - box.left, event.clientY - box.top];
    stroke(event);
  };
  const end = ({ currentTarget }: PointerEvent<HTMLCanvasElement>): void => {
    if (!last.current) return;
    last.current = null;
    onMask(whiteOnBlack(currentTarget));
  };
  const clear = (): void => {
    const { width = 0, height = 0 } = canvas.current ?? {};
    canvas.current?.getContext("2d")?.clearRect(0, 0, width, height);
    onMask("");
  };
  return (
    <div className="flex flex-col gap-2">
      <div className="relative overflow-hidden rounded-md border border-line">
        <img src={url} alt={t("image.start")} draggable={false} onLoad={(event) => size(event.currentTarget)} className="block w-full select-none" />
        <canvas
          ref={canvas}
          role="img"
          aria-label={t("image.mask")}
          className="absolute inset-0 size-full cursor-crosshair touch-none text-accent opacity-60"
          onPointerDown={begin}
          onPointerMove={stroke}
          onPointerUp={end}
          onPointerCancel={end}
          onPointerLeave={() => setAt(null)}
        />
        {at && <span aria-hidden className="pointer-events-none absolute rounded-full border-2 border-white shadow-low mix-blend-difference" style={{ left: at[0] - brush / 2, top: at[1] - brush / 2, width: brush, height: brush }} />}
      </div>
      <p className="text-xs text-muted">{t("image.maskHint")}</p>
      <div className="flex items-center gap-2">
        <label htmlFor={id} className="font-medium">{t("image.brush")}</label>
        <input id={id} type="range" min={BRUSH_PX.min} max={BRUSH_PX.max} value={brush} onChange={(event) => setBrush(Number(event.target.value))} className="min-w-0 flex-1" />
        <Button icon={Eraser} disabled={!mask} onClick={clear}>{t("image.maskClear")}</Button>
      </div>
    </div>
  );
}

function whiteOnBlack(painted: HTMLCanvasElement): string {
  const made = document.createElement("canvas");
  made.width = painted.width;
  made.height = painted.height;
  const pen = made.getContext("2d")!;
  pen.drawImage(painted, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, made.width, made.height);
  pen.globalCompositeOperation = "destination-over";
  pen.fillStyle = "black";
  pen.fillRect(0, 0, made.width, made.height);
  return made.toDataURL("image/png");
}

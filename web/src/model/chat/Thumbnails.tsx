import { X } from "lucide-react";
import { useT } from "~/shared/i18n";
import { isPdf } from "../pictures";

export function Thumbnails({ urls, onRemove, className = "" }: { urls: string[]; onRemove: (index: number) => void; className?: string }) {
  const t = useT();
  return (
    <ul className={`flex flex-wrap gap-2 empty:hidden ${className}`}>
      {urls.map((url, index) => (
        <li key={index} className="relative">
          {isPdf(url)
            ? <span className="grid size-16 place-items-center rounded-md border border-line bg-raised text-xs font-medium text-muted">PDF</span>
            : <img src={url} alt={t("picture.n", { n: index + 1 })} className="size-16 rounded-md border border-line object-cover" />}
          <button
            type="button"
            aria-label={t("picture.remove", { n: index + 1 })}
            onClick={() => onRemove(index)}
            className="absolute -top-2 -right-2 grid size-6 place-items-center rounded-full border border-line bg-panel hover:bg-raised"
          >
            <X size={13} aria-hidden />
          </button>
        </li>
      ))}
    </ul>
  );
}

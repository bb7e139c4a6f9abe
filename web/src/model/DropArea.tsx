/** Where files are dropped, pasted or chosen. */
import type { LucideIcon } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";

interface DropProps {
  label: string;
  accept: string;
  icon: LucideIcon;
  multiple?: boolean;
  onFiles: (files: File[]) => void;
  children?: ReactNode;
}

export function DropArea({ label, accept, icon: Icon, multiple = false, onFiles, children }: DropProps) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const kinds = accept.split(",").map((one) => one.replace("*", ""));
  const take = (list: FileList | null | undefined): boolean => {
    const files = [...(list ?? [])].filter((file) => kinds.some((kind) => file.type.startsWith(kind))).slice(0, multiple ? undefined : 1);
    if (files.length) onFiles(files);
    return files.length > 0;
  };
  useEffect(() => {
    const onPaste = (event: ClipboardEvent): void => {
      if (take(event.clipboardData?.files)) event.preventDefault();
    };
    document.addEventListener("paste", onPaste);
    return () => document.removeEventListener("paste", onPaste);
  });
  return (
    <div
      onDragOver={(event) => { event.preventDefault(); setOver(true); }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => { event.preventDefault(); setOver(false); take(event.dataTransfer.files); }}
    >
      <input ref={input} type="file" accept={accept} multiple={multiple} hidden aria-label={label} onChange={(event) => { take(event.target.files); event.target.value = ""; }} />
      <button
        type="button"
        onClick={() => input.current?.click()}
        className={`flex w-full flex-col items-center gap-2 rounded-lg border border-dashed px-4 py-6 text-center text-muted transition-colors hover:border-line-strong hover:bg-raised ${over ? "border-accent bg-accent-soft" : "border-line-strong"}`}
      >
        {children ?? (
          <>
            <Icon size={24} aria-hidden />
            <span>{label}</span>
          </>
        )}
      </button>
    </div>
  );
}

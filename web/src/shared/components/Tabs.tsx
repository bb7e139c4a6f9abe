import { type KeyboardEvent, useRef } from "react";

interface TabsProps<Name extends string> {
  label: string;
  tabs: { name: Name; title: string }[];
  chosen: Name;
  onChoose: (name: Name) => void;
}

export function Tabs<Name extends string>({ label, tabs, chosen, onChoose }: TabsProps<Name>) {
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const to = (tabs.findIndex(({ name }) => name === chosen) + step + tabs.length) % tabs.length;
    onChoose(tabs[to]!.name);
    list.current?.querySelectorAll<HTMLElement>("[role=tab]")[to]?.focus();
  };
  return (
    <div ref={list} role="tablist" aria-label={label} onKeyDown={onKeyDown} className="flex w-max max-w-full gap-1 overflow-x-auto rounded-md bg-raised p-1">
      {tabs.map(({ name, title }) => (
        <button
          key={name}
          type="button"
          role="tab"
          aria-selected={name === chosen}
          tabIndex={name === chosen ? 0 : -1}
          onClick={() => onChoose(name)}
          className={`h-8 rounded-md pointer-coarse:h-10 px-3 text-sm font-medium whitespace-nowrap ${name === chosen ? "bg-panel shadow-low" : "text-muted hover:text-ink"}`}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

/** Links: within text, and in the shape of a button. */
export const TEXT_LINK = "rounded-sm font-medium text-accent-ink underline decoration-accent-ink/40 underline-offset-2 hover:decoration-accent-ink";

const BUTTON = "inline-flex h-9 shrink-0 items-center justify-center gap-2 rounded-md px-3 font-medium whitespace-nowrap transition-colors duration-150";
export const BUTTON_LINK = `${BUTTON} border border-line bg-panel hover:bg-raised`;
export const MAIN_LINK = `${BUTTON} bg-accent text-white hover:bg-accent-strong`;

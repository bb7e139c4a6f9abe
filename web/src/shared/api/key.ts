/** The API key: asked for once the server answers 401, kept for the life of the tab. */
import { createStore } from "../store";

const ITEM = "lorasmith.key";
export const keyPrompt = createStore({ open: false, refused: false });
let waiting: (() => void)[] = [];

export const apiKey = (): string => sessionStorage.getItem(ITEM) ?? "";

/** Of a page that signs in with a cookie: what its requests carry beside it. */
export const session = { csrf: "" };

/** What is done with a key that was given; whether it was the right one. A page that signs in puts its own here. */
export const keeper = {
  take: async (key: string): Promise<boolean> => {
    sessionStorage.setItem(ITEM, key);
    return true;
  },
};

/** Resolves when the reader has given another key. */
export function askForKey(): Promise<void> {
  keyPrompt.set({ open: true, refused: apiKey() !== "" });
  return new Promise((resolve) => waiting.push(resolve));
}

export async function giveKey(key: string): Promise<void> {
  if (!(await keeper.take(key.trim()))) {
    keyPrompt.set({ refused: true });
    return;
  }
  keyPrompt.set({ open: false });
  const resumed = waiting;
  waiting = [];
  for (const resume of resumed) resume();
}

/** Assistants as the server has just told of them: the list follows at once, and asks again for the others. */
import type { Assistant } from "../api";
import { queries } from "../live";

const KEY = ["assistants"];

export function keep(one: Assistant): void {
  queries.setQueryData<Assistant[]>(KEY, (list) => (list?.some(({ id }) => id === one.id) ? list.map((before) => (before.id === one.id ? one : before)) : [...(list ?? []), one]));
  // Starting and stopping one may load or unload the model of others.
  void queries.invalidateQueries({ queryKey: KEY });
  void queries.invalidateQueries({ queryKey: ["servings"] });
}

export function drop(id: number): void {
  queries.setQueryData<Assistant[]>(KEY, (list) => list?.filter((one) => one.id !== id));
  void queries.invalidateQueries({ queryKey: KEY });
}

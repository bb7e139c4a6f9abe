/** Signing in: a token is exchanged for a cookie that no script can read; beside it every request carries the session's own word. */
import { ApiError } from "~/shared/api/http";
import { keeper, session } from "~/shared/api/key";
import { sessions } from "./api";

async function begin(token: string): Promise<boolean> {
  try {
    session.csrf = (await sessions.signIn(token)).csrf;
    return true;
  } catch (error) {
    if (error instanceof ApiError && !error.isLost && error.status !== 429) return false;
    throw error;
  }
}

export function useSessions(): void {
  keeper.take = begin;
  void sessions.now().then(({ csrf }) => { session.csrf = csrf; }, () => undefined);
}

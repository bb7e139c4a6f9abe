import "~/shared/tokens.css";
import "~/shared/prose.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { session } from "~/shared/api/key";
import { watchServer } from "~/shared/api/server";
import "./languages";
import { App } from "./App";

// Behind a studio, the session that the reader has there counts here.
if (/\/servings\/\d+\/$/.test(location.pathname)) {
  void fetch("../../session").then((answer) => answer.json()).then(({ csrf }: { csrf?: string }) => { session.csrf = csrf ?? ""; }, () => undefined);
}
watchServer();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** A page of this project: its entry here, and the file that the Python package ships. Chosen with `--mode`. */
const PAGES: Record<string, { entry: string; file: string }> = {
  model: { entry: "model.html", file: "serve_ui.html" },
  studio: { entry: "studio.html", file: "studio_ui.html" },
};

/** Puts the one script and the one style sheet into the page, so that it is a single file and its CSP needs two hashes only. */
function singleFile(name: string): Plugin {
  return {
    name: "single-file",
    enforce: "post",
    generateBundle(_options, bundle) {
      const outputs = Object.values(bundle);
      const page = outputs.find((o) => o.type === "asset" && o.fileName.endsWith(".html"));
      const chunks = outputs.filter((o) => o.type === "chunk");
      const sheets = outputs.filter((o) => o.type === "asset" && o.fileName.endsWith(".css"));
      const [chunk] = chunks;
      if (page?.type !== "asset" || chunks.length !== 1 || !chunk || sheets.length > 1) {
        this.error(`a page is one script and one style sheet, but there are ${chunks.length} and ${sheets.length}`);
      }
      const sheet = sheets[0]?.type === "asset" ? String(sheets[0].source) : "";
      const script = chunk.code.trim().replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
      const html = String(page.source)
        .replace(/<script type="module"[^>]*><\/script>\s*/, "")
        .replace(/<link rel="stylesheet"[^>]*>\s*/, "")
        // Functions, because "$&" in the code would be read as a pattern.
        .replace("</head>", () => `<style>${sheet.trim()}</style>\n</head>`)
        .replace("</body>", () => `<script type="module">${script}</script>\n</body>`);
      for (const key of Object.keys(bundle)) delete bundle[key];
      this.emitFile({ type: "asset", fileName: name, source: html });
    },
  };
}

export default defineConfig(({ mode }) => {
  const page = PAGES[mode] ?? PAGES.model!;
  return {
    plugins: [react(), tailwindcss(), singleFile(page.file)],
    resolve: { alias: { "~": fileURLToPath(new URL("./src", import.meta.url)) } },
    build: {
      outDir: "../src/lorasmith/web",
      emptyOutDir: false,
      target: "es2023",
      cssTarget: ["chrome123", "safari17.5", "firefox121"],
      modulePreload: false,
      cssCodeSplit: false,
      assetsInlineLimit: Number.MAX_SAFE_INTEGER,
      reportCompressedSize: false,
      rolldownOptions: { input: page.entry, output: { codeSplitting: false } },
    },
  };
});

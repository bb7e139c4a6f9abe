/** What the development server says for each family. */
import { landscape, png, tone } from "./png.mjs";
import { schemaOf } from "./schemas.mjs";

const CAPABILITIES = {
  language: { reasoning: true, tools: true, structured: true, stream: true, adapters: true },
  state_space: { stream: true },
  multimodal: { stream: true, images: true },
  audio: { audio_in: true, audio_out: false },
  speech: { audio_in: false, audio_out: true },
  vision: { fields: ["labels", "boxes", "masks"], images: true },
  embedding: { images: true },
  diffusion: { images: true, inpaint: true },
};

export function infoOf(family) {
  const real = family === "speech" ? "audio" : family;
  const adapters = family === "language" ? ["invoices", "support-bot-with-a-rather-long-name"] : [];
  return {
    id: `acme/demo-${family}-1.7B`, family: real, task: "text-generation", engine: "stand-in", device: "cuda:0", precision: "bfloat16",
    model: { num_parameters: 1_720_000_000 }, context_tokens: ["language", "state_space", "multimodal"].includes(real) ? 32768 : null,
    capabilities: CAPABILITIES[family] ?? {}, parameters: schemaOf(real), defaults: real === "language" ? { temperature: 0.7, top_p: 0.9, top_k: 20 } : {},
    adapters: adapters.map((name) => ({ name, rank: 16, alpha: 32, path: name, base: "acme" })), limits: {}, version: "0.0.0",
  };
}

const HOSTILE = `Nothing here may run:

<script>window.__hit = 1</script> <img src=x onerror="window.__hit = 2"> <svg onload="window.__hit = 3"><circle r="4"/></svg>

[click](javascript:window.__hit=4) [data](data:text/html,<script>window.__hit=5</script>) ![remote](https://example.com/spy.png) ![alt" onerror="window.__hit=6](x)

<iframe srcdoc="<script>parent.__hit=7</script>"></iframe> <a href="javascript:window.__hit=8">x</a> <style>body{display:none}</style> <form action="https://example.com"><input name=q></form>

\`\`\`html"><img src=x onerror=window.__hit=9>
</code></pre><script>window.__hit = 10</script>
\`\`\`
`;

const LONG = `The sky is blue because air scatters **short wavelengths** far more than long ones. This is *Rayleigh scattering*: its strength goes with \`1/λ⁴\`.

## In three steps

1. Sunlight holds all colours.
2. Molecules of the air scatter blue light about four times as much as red.
3. From every direction of the sky, scattered blue light reaches the eye.

| Colour | Wavelength | Scattered |
|---|---:|---:|
| Violet | 400 nm | 9.4 × |
| Blue | 450 nm | 5.9 × |
| Red | 700 nm | 1 × |

\`\`\`python
def scattering(wavelength_nm: float, reference_nm: float = 700.0) -> float:
    """How much more light is scattered than at the reference."""
    return (reference_nm / wavelength_nm) ** 4

print(f"{scattering(450):.1f}")  # 5.9
\`\`\`

> At sunset the light has a longer way, and only the red is left.

More in [Wikipedia](https://en.wikipedia.org/wiki/Rayleigh_scattering).`;

const THOUGHTS = "The user asks about the colour of the sky. I should mention Rayleigh scattering, give the fourth power law, and keep it short. A table of wavelengths helps.\n\nLet me check the numbers: (700/450)^4 is 5.86, and (700/400)^4 is 9.38. Good.";

export async function* textEvents(call, sleep) {
  const last = call.messages?.at(-1)?.content ?? call.prompt ?? "";
  const asked = typeof last === "string" ? last : last.map((part) => part.text ?? "").join(" ");
  if (/fail/i.test(asked)) {
    yield { error: { message: "Out of memory: 7.2 GB needed, 6.0 GB there.", type: "out_of_memory", code: "oom", hint: "./start.sh --load-in-8bit" }, finished: true };
    return;
  }
  const named = call.adapter === "base" ? "" : call.adapter;
  const thinks = call.reasoning_mode !== "off" && !named;
  const answer = /hostile/i.test(asked) ? HOSTILE : named ? `As **${named}**: short wavelengths scatter most, so the sky is blue.` : LONG;
  const pieces = (text) => text.match(/\s*\S+|\s+$/g) ?? [];
  if (thinks) for (const token of pieces(THOUGHTS)) { await sleep(14); yield { token, type: "thinking", finished: false }; }
  for (const token of pieces(answer)) { await sleep(9); yield { token, type: "answer", finished: false }; }
  const usage = { prompt_tokens: 24, thinking_tokens: thinks ? pieces(THOUGHTS).length : 0, answer_tokens: pieces(answer).length };
  yield { token: "", finished: true, finish_reason: "stop", usage: { ...usage, total_tokens: 24 + usage.thinking_tokens + usage.answer_tokens }, seconds: 3.4 };
}

const once = (make) => ({ events: async function* (call, sleep) { await sleep(400); yield { finished: true, result: make(call) }; } });

const SUBJECTS = [/cat|kitten|dog|animal/i, /bank|share|interest|invest|money/i, /rain|snow|wind|sun|weekend/i];

/** Texts land near each other when they share a subject or words; enough to look at. */
function vectorOf(text) {
  const vector = Array(32).fill(0);
  SUBJECTS.forEach((subject, k) => subject.test(text) && vector.forEach((_, i) => (vector[i] += 4 * Math.sin((k + 2) * 7.3 * (i + 1)))));
  for (const word of text.toLowerCase().match(/[\p{L}]+/gu) ?? []) {
    let hash = 7;
    for (const letter of word.slice(0, 4)) hash = (hash * 31 + letter.codePointAt(0)) % 9973;
    for (let i = 0; i < 32; i++) vector[i] += Math.sin(hash * (i + 1));
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

const blob = (x, y, cx, cy, r) => (Math.hypot(x - cx, y - cy) < r + 0.03 * Math.sin(12 * Math.atan2(y - cy, x - cx)) ? [255, 255, 255, 255] : [0, 0, 0, 255]);
const mask = (cx, cy, r) => ({ data: png(480, 360, (x, y) => blob(x, y * 0.75, cx, cy, r)), type: "image/png" });

export const ANSWERS = {
  language: { text: true },
  state_space: { text: true },
  multimodal: { text: true },
  diffusion: {
    events: async function* (call, sleep) {
      const total = call.steps ?? 25;
      const seed = call.seed ?? 7;
      for (let done = 1; done <= total; done++) {
        await sleep(70);
        const shown = done % 3 === 0 ? { preview: { data: landscape(96, seed % 97, 1 - done / total), type: "image/png" } } : {};
        yield { progress: { done, total }, ...shown, finished: false };
      }
      const images = Array.from({ length: call.n ?? 1 }, (_, i) => ({ data: landscape(384, (seed + i) % 97), type: "image/png", seed: seed + i }));
      yield { finished: true, result: { images, parameters: { guidance_scale: 7.5, width: 384, height: 384, scheduler: "EulerDiscrete", ...call, seed }, seconds: 2.1 } };
    },
  },
  embedding: {
    ...once((call) => ({ embeddings: [...(call.texts ?? []), ...(call.images ?? []).map((_, i) => ["cat", "bank", "snow"][i % 3])].map(vectorOf), dimensions: 32, usage: { prompt_tokens: 88 } })),
    similarity: ({ query, texts, top_k = 10 }) => ({
      results: texts.map((text, index) => ({ index, text, score: dot(vectorOf(query), vectorOf(text)) })).sort((a, b) => b.score - a.score).slice(0, top_k),
    }),
    project: ({ vectors, texts, method = "pca" }) => {
      const rows = vectors ?? texts.map(vectorOf);
      const turn = method === "pca" ? 0 : method === "tsne" ? 5 : 9;
      return { method, points: rows.map((row) => [row[turn] + row[turn + 1] * 0.3, row[turn + 2]]) };
    },
  },
  classifier: once((call) => ({
    results: call.texts.map((text) => ({
      labels: [{ label: "positive", score: 0.912 }, { label: "neutral", score: 0.071 }, { label: "negative", score: 0.017 }],
      entities: [...text.matchAll(/\b(Anna|Berlin|Acme|Monday|Анна|Берлин)\b/g)].map((m) => ({
        label: { Anna: "PER", Анна: "PER", Berlin: "LOC", Берлин: "LOC", Acme: "ORG", Monday: "DATE" }[m[1]], score: 0.98, start: m.index, end: m.index + m[1].length, text: m[1],
      })),
    })),
  })),
  vision: once(() => ({
    results: [{
      width: 480, height: 360,
      labels: [{ label: "landscape", score: 0.83 }, { label: "mountain", score: 0.11 }, { label: "seashore", score: 0.04 }],
      boxes: [{ label: "sun", score: 0.94, box: [120, 50, 230, 150] }, { label: "hill", score: 0.88, box: [10, 190, 470, 300] }, { label: "hill", score: 0.61, box: [200, 250, 460, 350] }],
      masks: [{ label: "sun", score: 0.97, mask: mask(0.36, 0.21, 0.09) }, { label: "hills", score: 0.9, mask: mask(0.5, 0.62, 0.28) }],
    }],
  })),
  document: once(() => ({
    results: [{
      text: "INVOICE 2041\nAcme Ltd.\nDate 2026-03-14\nTotal 1,240.50 EUR",
      fields: { number: "2041", seller: { name: "Acme Ltd.", city: "Berlin" }, date: "2026-03-14", total: "1,240.50 EUR", lines: [{ item: "Steel bolts", count: 200, price: "0.90" }, { item: "Hinges", count: 40, price: "26.51" }] },
      words: [
        { text: "INVOICE", box: [80, 60, 260, 110], label: "HEADER", score: 0.99 }, { text: "2041", box: [280, 60, 380, 110], label: "NUMBER", score: 0.98 },
        { text: "Acme", box: [80, 150, 180, 185], label: "SELLER", score: 0.97 }, { text: "Ltd.", box: [190, 150, 250, 185], label: "SELLER", score: 0.95 },
        { text: "2026-03-14", box: [700, 150, 900, 185], label: "DATE", score: 0.99 }, { text: "1,240.50", box: [700, 820, 860, 860], label: "TOTAL", score: 0.96 },
      ],
    }],
  })),
  audio: once((call) => ({
    text: "Good morning. The delivery for Acme arrives on Monday, two boxes of hinges and one of bolts. Please confirm by noon.",
    segments: call.timestamps === "none" ? [] : [
      { start: 0, end: 1.2, text: "Good morning." }, { start: 1.2, end: 4.1, text: "The delivery for Acme arrives on Monday," },
      { start: 4.1, end: 6.6, text: "two boxes of hinges and one of bolts." }, { start: 6.6, end: 8, text: "Please confirm by noon." },
    ],
    labels: [], seconds: 0.8, duration: 8,
  })),
  speech: once((call) => ({ audio: { data: tone(Math.min(8, 1 + (call.text?.length ?? 0) / 15)), type: "audio/wav" }, sampling_rate: 16000, duration: 3 })),
};

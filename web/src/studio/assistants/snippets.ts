/** How a program talks with an assistant, ready to be copied. */
export interface Asked {
  /** An OpenAI client's base URL. */
  url: string;
  model: string;
  question: string;
  /** Whether the studio answers only to who is signed in. */
  needsToken: boolean;
}
export type Language = "curl" | "python" | "javascript";

const TOKEN = "LORASMITH_TOKEN";
// Quoted as JSON has it, which Python and JavaScript read alike.
const quoted = JSON.stringify;
const inShell = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function curl({ url, model, question, needsToken }: Asked): string {
  const body = quoted({ model, messages: [{ role: "user", content: question }] });
  const lines = [`curl ${inShell(`${url}/chat/completions`)}`, `-H "Content-Type: application/json"`];
  if (needsToken) lines.push(`-H "Authorization: Bearer $${TOKEN}"`);
  return [...lines, `-d ${inShell(body)}`].join(" \\\n  ");
}

const python = ({ url, model, question, needsToken }: Asked): string => `${needsToken ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${quoted(url)}, api_key=${needsToken ? `os.environ["${TOKEN}"]` : `"none"`})
answer = client.chat.completions.create(
    model=${quoted(model)},
    messages=[{"role": "user", "content": ${quoted(question)}}],
)
print(answer.choices[0].message.content)`;

const javascript = ({ url, model, question, needsToken }: Asked): string => `const response = await fetch(${quoted(`${url}/chat/completions`)}, {
  method: "POST",
  headers: { "Content-Type": "application/json"${needsToken ? `, Authorization: \`Bearer \${process.env.${TOKEN}}\`` : ""} },
  body: JSON.stringify({
    model: ${quoted(model)},
    messages: [{ role: "user", content: ${quoted(question)} }],
  }),
});
const answer = await response.json();
console.log(answer.choices[0].message.content);`;

export const SNIPPETS: Record<Language, (asked: Asked) => string> = { curl, python, javascript };

/** More languages than the studio's page has room for within its 300 kB. */
import hljs from "highlight.js/lib/core";
import csharp from "highlight.js/lib/languages/csharp";
import kotlin from "highlight.js/lib/languages/kotlin";
import ruby from "highlight.js/lib/languages/ruby";

for (const [name, language] of Object.entries({ csharp, kotlin, ruby })) hljs.registerLanguage(name, language);

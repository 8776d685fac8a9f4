/**
 * Builds the `fastcore.js` into which the gateway writes its texts. With `--check` it fails if the built file is out of
 * date. A test of the gateway checks the size with the texts of each language.
 */

import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const FILE = new URL("../../services/ingest/forms/templates/fastcore.js", import.meta.url);

const { outputFiles } = await build({
  entryPoints: [new URL("fastcore.js", import.meta.url).pathname],
  minify: true,
  charset: "utf8",
  target: "es2022",
  legalComments: "none",
  write: false,
});
// A `let` is two bytes shorter.
const text = outputFiles[0].text.replace(/\bconst\b/g, "let");
if (!process.argv.includes("--check")) await writeFile(FILE, text);
else if ((await readFile(FILE, "utf8").catch(() => "")) !== text) {
  throw new Error("services/ingest/forms/templates/fastcore.js is out of date: run `make fastcore-js`");
}
console.log(`fastcore.js: ${Buffer.byteLength(text)} bytes`);

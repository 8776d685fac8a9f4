/**
 * Builds the `fastcore.js` into which the gateway writes its texts. With `--check` it fails if the built file is out of
 * date. A test of the gateway checks the size with the texts of each language.
 */

import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const SOURCE = new URL("fastcore.js", import.meta.url);
const FILE = new URL("../../services/ingest/forms/templates/fastcore.js", import.meta.url);

const { outputFiles } = await build({
  // A `let` is two bytes shorter, and esbuild joins one with the next.
  stdin: { contents: (await readFile(SOURCE, "utf8")).replace(/\bconst\b/g, "let") },
  minify: true,
  charset: "utf8",
  target: "es2022",
  legalComments: "none",
  write: false,
});
const { text } = outputFiles[0];
if (!process.argv.includes("--check")) await writeFile(FILE, text);
else if ((await readFile(FILE, "utf8").catch(() => "")) !== text) {
  throw new Error("services/ingest/forms/templates/fastcore.js is out of date: run `make fastcore-js`");
}
console.log(`fastcore.js: ${Buffer.byteLength(text)} bytes`);

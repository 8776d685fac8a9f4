/** Builds the `fastcore.js` that the gateway serves. With `--check` it fails if the built file is out of date. */

import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const FILE = new URL("../../services/ingest/forms/static/fastcore.js", import.meta.url);
const MAX_BYTES = 3000;

const { outputFiles } = await build({
  entryPoints: [new URL("fastcore.js", import.meta.url).pathname],
  minify: true,
  charset: "utf8",
  target: "es2022",
  legalComments: "none",
  banner: { js: "/* FASTCore, Apache-2.0 */" },
  write: false,
});
const [{ text, contents }] = outputFiles;
if (contents.length >= MAX_BYTES)
  throw new Error(`fastcore.js has ${contents.length} bytes; the limit is ${MAX_BYTES}`);
if (!process.argv.includes("--check")) await writeFile(FILE, text);
else if ((await readFile(FILE, "utf8").catch(() => "")) !== text) {
  throw new Error("services/ingest/forms/static/fastcore.js is out of date: run `make fastcore-js`");
}
console.log(`fastcore.js: ${contents.length} bytes`);

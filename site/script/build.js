/** Builds `fastcore.js` for the gateway to serve. With `--check` it fails where the built file is out of date. */

import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const FILE = new URL("../../services/ingest/forms/static/fastcore.js", import.meta.url);
const MAX_BYTES = 3000;

const { outputFiles } = await build({
  entryPoints: [new URL("fastcore.js", import.meta.url).pathname],
  minify: true,
  charset: "utf8",
  target: "es2022",
  legalComments: "none",
  banner: { js: "/* FASTCore; Apache-2.0; built from site/script/fastcore.js by `make fastcore-js` */" },
  write: false,
});
const text = outputFiles[0].text;
const bytes = gzipSync(text, { level: 9 }).length;
if (bytes > MAX_BYTES)
  throw new Error(`fastcore.js takes ${bytes} bytes compressed; the limit is ${MAX_BYTES}`);
if (!process.argv.includes("--check")) await writeFile(FILE, text);
else if ((await readFile(FILE, "utf8").catch(() => "")) !== text) {
  throw new Error("services/ingest/forms/static/fastcore.js is out of date: run `make fastcore-js`");
}
console.log(`fastcore.js: ${text.length} bytes, ${bytes} compressed`);

/**
 * Copies code blocks from a section of a README to the files of a site. The first line of each block names the path of
 * its file.
 */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

const [, , readme = "", section = "", folder = ""] = process.argv;
const all = await readFile(readme, "utf8");
const text = all.split(/^## /m).find((each) => each.startsWith(`${section}\n`)) ?? "";
const blocks = [...text.matchAll(/^```(?:tsx?|svelte)\n(?:\/\/|<!--) (\S+\.\w+)(?: -->)?\n(.*?)^```$/gms)];
if (blocks.length < 6) {
  throw new Error(
    `The section ${section} of ${readme} has ${blocks.length} blocks that begin with their path; expected 6 or more`,
  );
}
for (const [, path, code] of blocks) {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), code);
}

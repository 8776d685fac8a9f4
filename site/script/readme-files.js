/**
 * Copies code blocks from a section of a README to the files of a site. The first line of each block names the path of
 * its file; in an `.astro` file, it is the first line of the frontmatter.
 */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

const [, , readme = "", section = "", folder = ""] = process.argv;
const all = await readFile(readme, "utf8");
const text = all.split(/^## /m).find((each) => each.startsWith(`${section}\n`)) ?? "";
const blocks = [
  ...text.matchAll(/^```(?:js|tsx?|svelte|astro)\n(---\n)?(?:\/\/|<!--) (\S+\.\w+)(?: -->)?\n(.*?)^```$/gms),
];
if (!blocks.length)
  throw new Error(`The section ${section} of ${readme} has no block that begins with its path`);
for (const [, frontmatter = "", path, code] of blocks) {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), frontmatter + code);
}

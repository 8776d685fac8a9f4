/** Writes the code of a README's blocks that begin with `// PATH` to these files of a site. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

const [, , readme = "", folder = ""] = process.argv;
const text = await readFile(readme, "utf8");
const blocks = [...text.matchAll(/```tsx?\n\/\/ (\S+\.tsx?)\n(.*?)```/gs)];
if (blocks.length < 7)
  throw new Error(`${readme} has ${blocks.length} blocks with a file's name; 7 are wanted`);
for (const [, path, code] of blocks) {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), code);
}

/** Checks a site before its first visitor: that all settings are set, and that the queue can be written. */

import { codeOf, type Log, log as standardLog } from "./log.js";
import { Queue } from "./queue.js";
import { FOLDER_IN_RELEASE, readSettings, type Settings } from "./settings.js";

/**
 * Log each problem of the site's settings and queue, and return the problems' texts.
 *
 * Call it in `register()` of the site's `instrumentation.ts`.
 */
export async function checkSite(
  options: { readonly settings?: Partial<Settings>; readonly log?: Log } = {},
): Promise<readonly string[]> {
  const { log = standardLog } = options;
  const problems: string[] = [];
  try {
    const settings = { ...readSettings(), ...options.settings };
    for (const [name, value, effect] of [
      ["FASTCORE_URL", settings.url, "leads wait on this site"],
      ["FASTCORE_SITE_INGEST_TOKEN", settings.ingestToken, "leads wait on this site"],
      ["FASTCORE_SITE_QUEUE_TOKEN", settings.queueToken, "FASTCore cannot fetch the leads that wait here"],
    ] as const) {
      if (!value) problems.push(`${name} is not set: ${effect}`);
    }
    if (settings.queueFolder === FOLDER_IN_RELEASE) {
      problems.push(
        "FASTCORE_SITE_QUEUE_FOLDER is not set, and the queue is inside the release: set it to a folder that a deployment keeps",
      );
    }
    const reason = await new Queue(settings.queueFolder, undefined, log).writeError();
    if (reason) problems.push(`The folder of FASTCORE_SITE_QUEUE_FOLDER cannot be written (${reason})`);
  } catch (error) {
    problems.push(error instanceof Error ? error.message : codeOf(error));
  }
  for (const problem of problems) log("error", problem);
  return problems;
}

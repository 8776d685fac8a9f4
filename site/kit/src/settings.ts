/** What the site is told by its environment. Read at the first request, never on import: a build has none of it. */

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export interface Settings {
  /** Where FASTCore's gateway answers, without `/inbound/leads`. */
  readonly url: string;
  /** This site's token at the gateway. */
  readonly ingestToken: string;
  /** What the flusher shows to fetch the queue. */
  readonly queueToken: string;
  /** Where leads wait while FASTCore is away: a disk that outlives the site's process. */
  readonly queueFolder: string;
  /** Proxies in front of the site that can be believed: each adds one address to `X-Forwarded-For`. */
  readonly proxyHops: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function readSettings(env: Environment = process.env): Settings {
  const hops = env.FASTCORE_SITE_PROXY_HOPS?.trim() || "1";
  if (!/^[1-9]$/.test(hops)) {
    throw new Error("FASTCORE_SITE_PROXY_HOPS is the number of your proxies, 1 to 9");
  }
  return {
    url: (env.FASTCORE_URL ?? "").trim().replace(/\/+$/, ""),
    // One site, one token: the gateway's list may name its site, we send the token alone.
    ingestToken: (env.FASTCORE_SITE_INGEST_TOKEN ?? "").trim(),
    queueToken: (env.FASTCORE_SITE_QUEUE_TOKEN ?? "").trim(),
    queueFolder: env.FASTCORE_SITE_QUEUE_FOLDER?.trim() || defaultFolder(env),
    proxyHops: Number(hops),
  };
}

/** The default of earlier versions, in the folder of the site's process: a deployment may delete it. */
export const FOLDER_IN_RELEASE = ".fastcore-site-queue";

/** Return a folder outside the release: one per site, by the name in its `package.json`. */
function defaultFolder(env: Environment): string {
  // An earlier version may have left leads there.
  if (existsSync(FOLDER_IN_RELEASE)) return FOLDER_IN_RELEASE;
  const state = env.XDG_STATE_HOME?.trim() || join(env.HOME?.trim() || homedir(), ".local", "state");
  return join(state, "fastcore-site-queue", siteName());
}

function siteName(): string {
  try {
    const { name } = JSON.parse(readFileSync("package.json", "utf8"));
    return (
      String(name)
        .replace(/[^\w.-]+/g, "-")
        .replace(/^[.-]+/, "") || "site"
    );
  } catch {
    return "site"; // a standalone build may have none
  }
}

/** The site's settings. They are read at the first request, not on import, because a build does not have them. */

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export interface Settings {
  /** The base URL of FASTCore's gateway, without `/inbound/leads`. */
  readonly url: string;
  /** The bearer token that this site sends to the gateway. */
  readonly ingestToken: string;
  /** The bearer token that the flusher sends to import the queue. */
  readonly queueToken: string;
  /** The folder of the queue, which stores leads while FASTCore is unavailable. It must be on a persistent disk. */
  readonly queueFolder: string;
  /** The number of trusted proxies in front of the site. Each adds one address to `X-Forwarded-For`. */
  readonly proxyHops: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Return the settings in `env`. Throws an error if `FASTCORE_SITE_PROXY_HOPS` is no number from 1 to 9. */
export function readSettings(env: Environment = process.env): Settings {
  const hops = env.FASTCORE_SITE_PROXY_HOPS?.trim() || "1";
  if (!/^[1-9]$/.test(hops)) {
    throw new Error("FASTCORE_SITE_PROXY_HOPS is the number of your proxies, 1 to 9");
  }
  return {
    url: (env.FASTCORE_URL ?? "").trim().replace(/\/+$/, ""),
    // Only the token: the prefix `site:` is for the gateway's own list of tokens.
    ingestToken: (env.FASTCORE_SITE_INGEST_TOKEN ?? "").trim(),
    queueToken: (env.FASTCORE_SITE_QUEUE_TOKEN ?? "").trim(),
    queueFolder: env.FASTCORE_SITE_QUEUE_FOLDER?.trim() || defaultFolder(env),
    proxyHops: Number(hops),
  };
}

/** The default folder of earlier versions. It is in the working directory, so a deployment may delete it. */
export const FOLDER_IN_RELEASE = ".fastcore-site-queue";

/** Return the default folder: outside the release, and named after the site's `package.json`. */
function defaultFolder(env: Environment): string {
  // An earlier version may have queued leads in this folder.
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
    return "site"; // a standalone build may have no package.json
  }
}

/** What the site is told by its environment. Read at the first request, never on import: a build has none of it. */

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
    queueFolder: env.FASTCORE_SITE_QUEUE_FOLDER?.trim() || ".fastcore-site-queue",
    proxyHops: Number(hops),
  };
}

/** `GET /api/contact/ready`: the readiness check of a site, for a load balancer or a monitor. It needs no token. */

import { codeOf, type Log, log as standardLog } from "./log.js";
import { type Bounds, Queue } from "./queue.js";
import { readSettings, type Settings } from "./settings.js";

export interface HealthOptions {
  /** The same value as for `createContactRoute`: a queue that has reached it is reported as full. */
  readonly queueBounds?: Bounds;
  /** Settings that override those of the environment. */
  readonly settings?: Partial<Settings>;
  readonly log?: Log;
}

// The check writes and fsyncs 300 KiB. Anyone may request it, so its result is reused for this time.
const CHECK_MS = 5000;

/** Return a route that answers 200 if the site's queue can be written, else 503 with the reason. */
export function createHealthRoute(options: HealthOptions = {}): {
  readonly GET: (request: Request) => Promise<Response>;
} {
  const { log = standardLog } = options;
  let checked: { readonly atMs: number; readonly error: Promise<string | undefined> } | undefined;

  async function writeError(): Promise<string | undefined> {
    try {
      const settings = { ...readSettings(), ...options.settings };
      return await new Queue(settings.queueFolder, options.queueBounds, log).writeError();
    } catch (error) {
      return codeOf(error);
    }
  }

  return {
    GET: async (request) => {
      request.headers.get("accept"); // reading the request keeps Next.js from answering at build time
      const nowMs = performance.now();
      if (!checked || nowMs - checked.atMs >= CHECK_MS) checked = { atMs: nowMs, error: writeError() };
      const error = await checked.error;
      return Response.json(error ? { status: "not ready", writeError: error } : { status: "ready" }, {
        status: error ? 503 : 200,
        headers: { "cache-control": "no-store" },
      });
    },
  };
}

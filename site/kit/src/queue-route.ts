/**
 * `GET /api/contact/queue` and `DELETE /api/contact/queue/{id}`: the API through which FASTCore's flusher imports the
 * site's queue. It requires the token `FASTCORE_SITE_QUEUE_TOKEN`.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { codeOf, type Log, log as standardLog } from "./log.js";
import { type Bounds, Queue } from "./queue.js";
import { readSettings, type Settings } from "./settings.js";

export interface QueueOptions {
  /** The same value as for `createContactRoute`: a queue that has reached it is reported as full. */
  readonly queueBounds?: Bounds;
  /** Settings that override those of the environment. */
  readonly settings?: Partial<Settings>;
  readonly log?: Log;
}

export interface QueueRoutes {
  readonly GET: (request: Request) => Promise<Response>;
  readonly DELETE: (
    request: Request,
    context: { readonly params: Promise<{ id: string }> },
  ) => Promise<Response>;
}

const PAGE_MAX_ENTRIES = 100;

/** Return the two routes. `GET` lists the oldest entries of the queue, `DELETE` removes the entry `id`. */
export function createQueueRoutes(options: QueueOptions = {}): QueueRoutes {
  const { log = standardLog } = options;

  /** Return the response of `work`, or a problem if the token is wrong or the queue cannot be read. */
  async function guarded(request: Request, work: (queue: Queue) => Promise<Response>): Promise<Response> {
    const settings = { ...readSettings(), ...options.settings };
    if (!settings.queueToken) return problem(503, "FASTCORE_SITE_QUEUE_TOKEN is not set on this site.");
    const given = request.headers.get("authorization") ?? "";
    if (!isSame(given, `Bearer ${settings.queueToken}`)) {
      return problem(401, "Send the queue's token: Authorization: Bearer <token>.", {
        "www-authenticate": 'Bearer realm="queue"',
      });
    }
    try {
      return await work(new Queue(settings.queueFolder, options.queueBounds, log));
    } catch (error) {
      log("error", "The queue's folder cannot be read", { reason: codeOf(error) });
      return problem(503, "The queue's folder cannot be read; the site's log says why.");
    }
  }

  return {
    GET: (request) =>
      guarded(request, async (queue) => {
        const asked = Number(new URL(request.url).searchParams.get("limit") ?? PAGE_MAX_ENTRIES);
        if (!Number.isInteger(asked) || asked < 1) return problem(400, "limit is a number from 1 to 100.");
        const page = await queue.page(Math.min(asked, PAGE_MAX_ENTRIES));
        // Return the entries even so: a full disk gets space again when FASTCore fetches and deletes them.
        if (page.writeError) log("error", "The queue cannot be written", { reason: page.writeError });
        return Response.json(page, { headers: { "cache-control": "no-store" } });
      }),
    DELETE: (request, context) =>
      guarded(request, async (queue) => {
        const { id } = await context.params;
        // Some servers include the trailing slash of the path in the parameter.
        return (await queue.remove(id.replace(/\/$/, "")))
          ? new Response(null, { status: 204 })
          : problem(404, "There is no such entry; it may be gone already.");
      }),
  };
}

// Compares digests, which have equal lengths, in constant time.
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}

function problem(status: number, detail: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ title: "Refused", status, detail }), {
    status,
    headers: { ...headers, "cache-control": "no-store", "content-type": "application/problem+json" },
  });
}

/**
 * `POST /api/contact`: the route that a site's contact form posts to.
 *
 * Every visitor gets a final answer within a time limit. A success is shown only after the lead is stored, either by
 * FASTCore or in the site's queue.
 */

import { randomBytes, randomUUID } from "node:crypto";
import { type Arrival, readArrival, Unreadable } from "./arrival.js";
import { Breaker } from "./breaker.js";
import { type Answer, type Budget, type FieldProblem, submit } from "./gateway.js";
import { codeOf, type Log, log as standardLog } from "./log.js";
import { type Bounds, Queue, QueueFull } from "./queue.js";
import { Recent } from "./recent.js";
import { Say } from "./say.js";
import { readSettings, type Settings } from "./settings.js";
import { type Consent, checkConsent, type Prepared, prepare } from "./submission.js";
import { type Limit, networkOf, visitorAddress, Window } from "./window.js";
import { explain, WORDS, type Words } from "./words.js";

export interface ContactOptions {
  /** The path of the page with the form. After an error, visitors without JavaScript are redirected to it. */
  readonly formPage?: string;
  /** The path of the page that visitors without JavaScript see after a success. */
  readonly thanksPage?: string;
  readonly consent?: Consent;
  /** How often one IP address may post. */
  readonly limit?: Limit;
  readonly budget?: Budget;
  readonly queueBounds?: Bounds;
  readonly words?: Partial<Words>;
  /** Settings that override those of the environment. */
  readonly settings?: Partial<Settings>;
  readonly log?: Log;
}

export interface Contact {
  readonly POST: (request: Request) => Promise<Response>;
}

type Outcome =
  | { readonly is: "safe"; readonly status: 201 | 202; readonly leadId?: string | undefined }
  | { readonly is: "invalid"; readonly problems: readonly FieldProblem[] }
  | { readonly is: "lost" };

/** The fields that a visitor can correct. If the gateway refuses another field, the site is at fault. */
const VISITORS = new Set(["name", "email", "service", "message", "phone", "company", "consent"]);
/** The gateway accepts no larger body. */
const BODY_MAX_BYTES = 256 * 1024;
// An office behind one address sends a few; the gateway judges what comes slower than this.
const LIMIT: Limit = { posts: 20, seconds: 600 };
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * Return the route that receives the form's posts. Throws an error if the text of `consent` is too long.
 *
 * It answers 201 if FASTCore has the lead, and 202 if the site's queue has it. Otherwise it answers a problem
 * (RFC 9457), such as 422 with the invalid fields, 429 for too many posts, or 503 if the lead was not stored. A
 * browser without JavaScript gets redirects instead.
 */
export function createContactRoute(options: ContactOptions = {}): Contact {
  const { formPage = "/contact", thanksPage = "/contact/thanks", consent, log = standardLog } = options;
  const words: Words = { ...WORDS, ...options.words };
  checkConsent(consent);
  const limit = options.limit ?? LIMIT;
  const window = new Window(limit);
  // Counted by itself: another website's page must not use up what the visitor may send.
  const elsewhere = new Window({ ...limit, posts: limit.posts * 3 });
  const recent = new Recent<Outcome>();
  const breaker = new Breaker();
  let made: { settings: Settings; queue: Queue } | undefined;

  function site(): { settings: Settings; queue: Queue } {
    if (!made) {
      const settings = { ...readSettings(), ...options.settings };
      made = { settings, queue: new Queue(settings.queueFolder, options.queueBounds, log) };
    }
    return made;
  }

  async function deliver(lead: Prepared, traceparent: string, now: Date): Promise<Outcome> {
    const { settings, queue } = site();
    // Sent again while it waits here: it has another time now, and would be another lead under the same key.
    if (await queue.has(lead.key).catch(() => false)) return { is: "safe", status: 202 };
    const answer: Answer = await submit(settings, { ...lead, traceparent }, options.budget, breaker);
    if (answer.is === "accepted") return { is: "safe", status: 201, leadId: answer.leadId };
    let reason = answer.is === "invalid" ? "gateway 422" : answer.reason;
    if (answer.is === "invalid") {
      const problems = answer.problems.filter((each) => VISITORS.has(each.field));
      if (problems.length) return { is: "invalid", problems };
      reason = `gateway 422: ${answer.problems.map((each) => each.field).join(", ")}`;
    }
    try {
      const id = await queue.keep({ key: lead.key, at: now, traceparent, body: lead.body });
      // What is refused forever waits for people: the flusher brings it where they look.
      log(answer.is === "away" ? "warn" : "error", "Lead queued on this site", { reason, id });
      return { is: "safe", status: 202 };
    } catch (error) {
      const why = error instanceof QueueFull ? "full" : codeOf(error);
      log("error", "Lead NOT taken: neither FASTCore nor the queue has it", { reason, queue: why });
      return { is: "lost" };
    }
  }

  /** Return the seconds after which the address may post again; 0 if it may post now. Reads no body. */
  function secondsToWait(request: Request): number {
    const address = visitorAddress(request.headers, site().settings.proxyHops);
    return address
      ? (isFromElsewhere(request) ? elsewhere : window).hit(networkOf(address), performance.now())
      : 0;
  }

  async function answer(request: Request, say: Say, arrival: Arrival): Promise<Response> {
    // A page of somebody else's that made a visitor's browser post: it is for the visitor to send, from our form.
    if (isFromElsewhere(request)) return say.no(403, words.elsewhere);
    const now = new Date();
    const lead = prepare(
      arrival.fields,
      {
        address: visitorAddress(request.headers, site().settings.proxyHops),
        userAgent: request.headers.get("user-agent"),
        language: request.headers.get("accept-language"),
        referer: request.headers.get("referer"),
        key: request.headers.get("idempotency-key"),
        files: arrival.files,
      },
      consent,
      now,
      randomUUID(),
    );
    if (lead.violations.length) {
      return say.no(
        422,
        words.check,
        Object.fromEntries(lead.violations.map((each) => [each.field, explain(each, words)])),
      );
    }
    if (Buffer.byteLength(JSON.stringify(lead.body)) > BODY_MAX_BYTES) return say.no(413, words.tooLarge);
    const traceparent = traceOf(request.headers.get("traceparent"));
    const outcome = await recent.once(
      lead.key,
      () => deliver(lead, traceparent, now),
      (each) => each.is === "safe",
    );
    if (outcome.is === "safe") return say.thanks(outcome.status, outcome.leadId, arrival.files.length > 0);
    if (outcome.is === "lost") return say.no(503, words.sorry, {}, { "retry-after": "60" });
    return say.no(
      422,
      words.check,
      Object.fromEntries(outcome.problems.map((each) => [each.field, words.refused(each.message)])),
    );
  }

  const pages = { formPage, thanksPage, words, refused: logRefusal };

  function logRefusal(status: number, errors: Readonly<Record<string, string>>): void {
    if (status >= 500) return; // a line of its own says more
    const fields = Object.keys(errors).filter((each) => VISITORS.has(each));
    log("warn", "Post refused", { status, ...(fields.length ? { fields: fields.join(", ") } : {}) });
  }

  async function POST(request: Request): Promise<Response> {
    let say = new Say(request, isForm(request), {}, pages);
    try {
      const wait = secondsToWait(request);
      if (wait) return say.no(429, words.tooMany, {}, { "retry-after": String(wait) });
      const arrival = await readArrival(request);
      say = new Say(request, arrival.plain, arrival.fields, pages);
      return await answer(request, say, arrival);
    } catch (error) {
      if (error instanceof Unreadable) {
        return say.no(error.status, error.status === 413 ? words.tooLarge : words.unreadable);
      }
      log("error", "Lead NOT taken: a fault of this site", { reason: codeOf(error) });
      return say.no(503, words.sorry, {}, { "retry-after": "60" });
    }
  }

  return { POST };
}

function isFromElsewhere(request: Request): boolean {
  return request.headers.get("sec-fetch-site") === "cross-site";
}

function isForm(request: Request): boolean {
  const wantsJson = (request.headers.get("accept") ?? "").includes("application/json");
  return !wantsJson && /form/.test(request.headers.get("content-type") ?? "");
}

function traceOf(given: string | null): string {
  if (given && TRACEPARENT.test(given)) return given;
  return `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
}

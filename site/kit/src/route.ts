/**
 * `POST /api/contact`: the route that a site's contact form posts to.
 *
 * Every visitor gets a final answer within a time limit. A success is shown only after the lead is stored, either by
 * FASTCore or in the site's queue.
 */

import { randomBytes, randomUUID } from "node:crypto";
import { Breaker } from "./breaker.js";
import { type Answer, type Budget, type FieldProblem, submit } from "./gateway.js";
import { codeOf, type Log, log as standardLog } from "./log.js";
import { type PostedForm, readPostedForm, Unreadable } from "./posted-form.js";
import { type Bounds, Queue, QueueFull } from "./queue.js";
import { type Limit, networkOf, RateLimiter, visitorAddress } from "./rate-limiter.js";
import { RecentResults } from "./recent-results.js";
import { Responder } from "./responder.js";
import { readSettings, type Settings } from "./settings.js";
import { type Consent, checkConsent, type PreparedLead, prepare } from "./submission.js";
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
  | { readonly is: "stored"; readonly status: 201 | 202; readonly leadId?: string | undefined }
  | { readonly is: "invalid"; readonly problems: readonly FieldProblem[] }
  | { readonly is: "lost" };

/** The fields that a visitor can correct. If the gateway refuses another field, the site is at fault. */
const VISITOR_FIELDS = new Set(["name", "email", "service", "message", "phone", "company", "consent"]);
/** The gateway accepts no larger body. */
const BODY_MAX_BYTES = 256 * 1024;
// An office behind one address posts a few messages. The gateway checks for spam at lower rates.
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
  const limiter = new RateLimiter(limit);
  // Counted separately, so that another website's page cannot use up the visitor's limit.
  const crossSiteLimiter = new RateLimiter({ ...limit, posts: limit.posts * 3 });
  const recentResults = new RecentResults<Outcome>();
  const breaker = new Breaker();
  let siteState: { settings: Settings; queue: Queue } | undefined;

  function site(): { settings: Settings; queue: Queue } {
    if (!siteState) {
      const settings = { ...readSettings(), ...options.settings };
      siteState = { settings, queue: new Queue(settings.queueFolder, options.queueBounds, log) };
    }
    return siteState;
  }

  async function deliver(lead: PreparedLead, traceparent: string, now: Date): Promise<Outcome> {
    const { settings, queue } = site();
    // The lead is posted again while it is queued. Its time differs now, so FASTCore would see another lead under
    // the same key: do not send it twice.
    if (await queue.has(lead.key).catch(() => false)) return { is: "stored", status: 202 };
    const answer: Answer = await submit(settings, { ...lead, traceparent }, options.budget, breaker);
    if (answer.is === "accepted") return { is: "stored", status: 201, leadId: answer.leadId };
    let reason = answer.is === "invalid" ? "gateway 422" : answer.reason;
    if (answer.is === "invalid") {
      const problems = answer.problems.filter((each) => VISITOR_FIELDS.has(each.field));
      if (problems.length) return { is: "invalid", problems };
      reason = `gateway 422: ${answer.problems.map((each) => each.field).join(", ")}`;
    }
    try {
      const id = await queue.append({ key: lead.key, at: now, traceparent, body: lead.body });
      // A lead that the gateway refuses is queued too: the flusher adds it to the failed deliveries.
      log(answer.is === "unavailable" ? "warn" : "error", "Lead queued on this site", { reason, id });
      return { is: "stored", status: 202 };
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
      ? (isCrossSite(request) ? crossSiteLimiter : limiter).hit(networkOf(address), performance.now())
      : 0;
  }

  async function answer(request: Request, responder: Responder, posted: PostedForm): Promise<Response> {
    // Another website's page made the browser post. The visitor has to send the message from this site's form.
    if (isCrossSite(request)) return responder.refuse(403, words.elsewhere);
    const now = new Date();
    const lead = prepare(
      posted.fields,
      {
        address: visitorAddress(request.headers, site().settings.proxyHops),
        userAgent: request.headers.get("user-agent"),
        language: request.headers.get("accept-language"),
        referer: request.headers.get("referer"),
        key: request.headers.get("idempotency-key"),
        files: posted.files,
      },
      consent,
      now,
      randomUUID(),
    );
    if (lead.violations.length) {
      return responder.refuse(
        422,
        words.check,
        Object.fromEntries(lead.violations.map((each) => [each.field, explain(each, words)])),
      );
    }
    if (Buffer.byteLength(JSON.stringify(lead.body)) > BODY_MAX_BYTES)
      return responder.refuse(413, words.tooLarge);
    const traceparent = traceOf(request.headers.get("traceparent"));
    const outcome = await recentResults.once(
      lead.key,
      () => deliver(lead, traceparent, now),
      (each) => each.is === "stored",
    );
    if (outcome.is === "stored")
      return responder.accept(outcome.status, outcome.leadId, posted.files.length > 0);
    if (outcome.is === "lost") return responder.refuse(503, words.sorry, {}, { "retry-after": "60" });
    return responder.refuse(
      422,
      words.check,
      Object.fromEntries(outcome.problems.map((each) => [each.field, words.refused(each.message)])),
    );
  }

  const pages = { formPage, thanksPage, words, onRefusal: logRefusal };

  function logRefusal(status: number, errors: Readonly<Record<string, string>>): void {
    if (status >= 500) return; // already logged with its reason
    const fields = Object.keys(errors).filter((each) => VISITOR_FIELDS.has(each));
    log("warn", "Post refused", { status, ...(fields.length ? { fields: fields.join(", ") } : {}) });
  }

  async function POST(request: Request): Promise<Response> {
    let responder = new Responder(request, isForm(request), {}, pages);
    try {
      const wait = secondsToWait(request);
      if (wait) return responder.refuse(429, words.tooMany, {}, { "retry-after": String(wait) });
      const posted = await readPostedForm(request);
      responder = new Responder(request, posted.wantsPage, posted.fields, pages);
      return await answer(request, responder, posted);
    } catch (error) {
      if (error instanceof Unreadable) {
        return responder.refuse(error.status, error.status === 413 ? words.tooLarge : words.unreadable);
      }
      log("error", "Lead NOT taken: a fault of this site", { reason: codeOf(error) });
      return responder.refuse(503, words.sorry, {}, { "retry-after": "60" });
    }
  }

  return { POST };
}

function isCrossSite(request: Request): boolean {
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

/** The client of FASTCore's gateway: posts one lead within a time limit, and returns the result. */

import type { Breaker } from "./breaker.js";
import type { LeadSubmission } from "./contract.js";
import { codeOf } from "./log.js";
import type { Settings } from "./settings.js";

export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/**
 * The result of posting a lead.
 *
 * - `accepted`: FASTCore has the lead. `leadId` is undefined if a request with the same key was accepted earlier.
 * - `invalid`: the gateway names fields that are invalid.
 * - `refused`: the gateway refuses the lead for good, and names no field.
 * - `away`: there is no final answer. The lead may have arrived, so post it again with the same idempotency key.
 */
export type Answer =
  | { readonly is: "accepted"; readonly leadId: string | undefined }
  | { readonly is: "invalid"; readonly problems: readonly FieldProblem[] }
  | { readonly is: "refused" | "unavailable"; readonly reason: string };

export interface Budget {
  /** The timeout of one request, in milliseconds. */
  readonly tryMs: number;
  /** The timeout of all requests for one lead together, in milliseconds. */
  readonly totalMs: number;
}

// The visitor waits for this request. FASTCore answers within milliseconds, or within 3 s while Kafka is unavailable.
const BUDGET: Budget = { tryMs: 3000, totalMs: 5000 };
const PAUSE_MS = 250;
const ANSWER_MAX_BYTES = 64 * 1024;
const FINAL_REFUSALS = new Set([400, 413, 415, 422]);

/**
 * Post a lead to the gateway, at most twice, and return the result. Never throws.
 *
 * With an open `breaker`, it posts once and returns after `OPEN_TIMEOUT_MS` at the latest.
 */
export async function submit(
  settings: Settings,
  lead: { readonly body: LeadSubmission; readonly key: string; readonly traceparent: string },
  budget: Budget = BUDGET,
  breaker?: Breaker,
): Promise<Answer> {
  for (const [name, value] of [
    ["FASTCORE_URL", settings.url],
    ["FASTCORE_SITE_INGEST_TOKEN", settings.ingestToken],
  ]) {
    if (!value) return { is: "unavailable", reason: `${name} is not set` };
  }
  const attemptOnce = async (timeoutMs: number) => {
    const answer = await attempt(settings, lead, timeoutMs);
    // Only a timeout opens the breaker: a refused connection fails at once.
    breaker?.record(!(answer.is === "unavailable" && answer.reason === "timeout"));
    return answer;
  };
  if (breaker?.isOpen)
    return breaker.runWithShortTimeout(
      budget.tryMs,
      { is: "unavailable", reason: "timeout" } as Attempt,
      attemptOnce,
    );
  const deadline = performance.now() + budget.totalMs;
  let answer = await attemptOnce(budget.tryMs);
  // Retry once: a restart or a lost connection usually lasts less than a second.
  const left = Math.floor(deadline - performance.now() - PAUSE_MS); // AbortSignal.timeout accepts only integers
  if (answer.is === "unavailable" && answer.isRetryable && left > 0) {
    await new Promise((done) => setTimeout(done, PAUSE_MS));
    answer = await attemptOnce(Math.min(budget.tryMs, left));
  }
  return answer;
}

type Attempt = Answer & { readonly isRetryable?: boolean };

async function attempt(
  settings: Settings,
  lead: { readonly body: LeadSubmission; readonly key: string; readonly traceparent: string },
  timeoutMs: number,
): Promise<Attempt> {
  let status: number;
  let text: string;
  try {
    const answer = await fetch(`${settings.url}/inbound/leads`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${settings.ingestToken}`,
        "content-type": "application/json",
        "idempotency-key": lead.key,
        traceparent: lead.traceparent,
      },
      body: JSON.stringify(lead.body),
      redirect: "manual", // never send the token to another address
      cache: "no-store",
      signal: AbortSignal.timeout(timeoutMs),
    });
    status = answer.status;
    text = await readBounded(answer);
  } catch (error) {
    return { is: "unavailable", reason: codeOf(error), isRetryable: true };
  }
  if (status === 201) {
    const leadId = asObject(text)?.leadId;
    // A 201 without a `leadId` comes from a server that is not FASTCore, so the lead is not stored.
    return typeof leadId === "string"
      ? { is: "accepted", leadId }
      : { is: "unavailable", reason: "not FASTCore" };
  }
  if (!FINAL_REFUSALS.has(status)) {
    // A wrong token or address, a rate limit or an outage. The lead is not at fault, so it can be sent later.
    return { is: "unavailable", reason: `gateway ${status}`, isRetryable: status >= 500 };
  }
  const problem = asObject(text);
  // The key contains a digest of the visitor's values, so the earlier request had the same values.
  if (problem?.type === "urn:fastcore:problem:key-reused") return { is: "accepted", leadId: undefined };
  const problems = fieldProblems(problem?.errors);
  return status === 422 && problems.length
    ? { is: "invalid", problems }
    : { is: "refused", reason: `gateway ${status}` };
}

async function readBounded(answer: Response): Promise<string> {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let bytes = 0; reader && bytes <= ANSWER_MAX_BYTES; ) {
    const { done, value } = await reader.read();
    if (done) return text;
    bytes += value.length;
    text += decoder.decode(value, { stream: true });
  }
  await reader?.cancel();
  return text;
}

function asObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function fieldProblems(errors: unknown): FieldProblem[] {
  return Array.isArray(errors)
    ? errors.filter(
        (each): each is FieldProblem => typeof each?.field === "string" && typeof each?.message === "string",
      )
    : [];
}

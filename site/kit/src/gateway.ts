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
  | { readonly is: "refused" | "away"; readonly reason: string };

export interface Budget {
  /** The timeout of one request, in milliseconds. */
  readonly tryMs: number;
  /** The timeout of all requests for one lead together, in milliseconds. */
  readonly totalMs: number;
}

// A visitor waits. FASTCore answers within milliseconds, and within 3 s while its broker is away.
const BUDGET: Budget = { tryMs: 3000, totalMs: 5000 };
const PAUSE_MS = 250;
const ANSWER_MAX_BYTES = 64 * 1024;
const REFUSED = new Set([400, 413, 415, 422]);

/**
 * Post a lead to the gateway, at most twice, and return the result. Never throws.
 *
 * With an open `breaker`, it posts once and returns after `SILENT_MS` at the latest.
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
    if (!value) return { is: "away", reason: `${name} is not set` };
  }
  const tried = async (timeoutMs: number) => {
    const answer = await attempt(settings, lead, timeoutMs);
    // A refused connection costs no time, so it needs no breaker.
    breaker?.note(!(answer.is === "away" && answer.reason === "timeout"));
    return answer;
  };
  if (breaker?.isOpen)
    return breaker.short(budget.tryMs, { is: "away", reason: "timeout" } as Attempt, tried);
  const deadline = performance.now() + budget.totalMs;
  let answer = await tried(budget.tryMs);
  // Once more: a restart or a lost connection is over in a moment.
  const left = Math.floor(deadline - performance.now() - PAUSE_MS); // a signal takes whole milliseconds alone
  if (answer.is === "away" && answer.again && left > 0) {
    await new Promise((done) => setTimeout(done, PAUSE_MS));
    answer = await tried(Math.min(budget.tryMs, left));
  }
  return answer;
}

type Attempt = Answer & { readonly again?: boolean };

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
      redirect: "manual", // the token is for this address alone
      cache: "no-store",
      signal: AbortSignal.timeout(timeoutMs),
    });
    status = answer.status;
    text = await readBounded(answer);
  } catch (error) {
    return { is: "away", reason: codeOf(error), again: true };
  }
  if (status === 201) {
    const leadId = asObject(text)?.leadId;
    // Whoever says 201 without it is another server at this address: its word is no lead that is safe.
    return typeof leadId === "string" ? { is: "accepted", leadId } : { is: "away", reason: "not FASTCore" };
  }
  if (!REFUSED.has(status)) {
    // Our token, our address, a limit, an outage: not the lead's fault. Waiting helps with some of these.
    return { is: "away", reason: `gateway ${status}`, again: status >= 500 };
  }
  const problem = asObject(text);
  // The key holds a digest of what the visitor typed: whoever used it before sent the very same.
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

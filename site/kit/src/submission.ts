/** Converts a visitor's fields to the JSON of a lead, with its idempotency key. No I/O, clock or random numbers. */

import { createHash } from "node:crypto";
import { type LeadSubmission, leadSubmissionSchema, type Meta, type Source } from "./contract.js";
import { CAMPAIGN, CONSENT_VERSION, FILES, FORM_KEY, HONEYPOT, RENDERED_AT } from "./names.js";
import { clean, storable, text } from "./text.js";
import { isObject, type Schema, type Violation, validate } from "./validate.js";

export interface Consent {
  /** The text beside the checkbox. */
  readonly text: string;
  /** The version of the text, which the lead stores. */
  readonly version: string;
  /** True (the default) if a lead without consent is refused. */
  readonly required?: boolean;
}

export interface RequestContext {
  readonly address: string | undefined;
  readonly userAgent: string | null;
  readonly language: string | null;
  /** The URL of the page with the form: the request's `Referer`. */
  readonly referer: string | null;
  /** The request's `Idempotency-Key`. Forms send none. */
  readonly key: string | null;
  /** The names of the form's files, whose content is not stored. */
  readonly files: readonly string[];
}

export interface PreparedLead {
  readonly body: LeadSubmission;
  readonly key: string;
  readonly violations: readonly Violation[];
}

const FIRST_TOUCH_FIELDS = [...CAMPAIGN, "referrer"].map((name) => `first_${name}`);
const SOURCE_FIELDS = ["page_url", "referrer", "landing_page", ...CAMPAIGN, ...FIRST_TOUCH_FIELDS] as const;
const KIT_FIELDS = new Set<string>([
  FORM_KEY,
  RENDERED_AT,
  CONSENT_VERSION,
  HONEYPOT,
  FILES,
  ...SOURCE_FIELDS,
  ...["source", "meta", "submitted_at", "request_id", "consent", "locale"],
]);
const URL_MAX = 2048;
const LINE_MAX = 200;
/** The longest consent text that the gateway accepts, in characters. */
const CONSENT_TEXT_MAX = 2000;
/** The lead's field with the names of the files. The team notification and the dashboard show it. */
const FILES_NOT_STORED = "files_not_stored";

/** Throw an error if the consent's text or version is longer than the gateway accepts. */
export function checkConsent(consent: Consent | undefined): void {
  for (const [part, limit] of [
    ["text", CONSENT_TEXT_MAX],
    ["version", LINE_MAX],
  ] as const) {
    const length = [...(consent?.[part] ?? "")].length;
    if (length > limit) throw new Error(`consent.${part} has ${length} characters; the limit is ${limit}`);
  }
}

/**
 * Return the lead's JSON, its idempotency key and its violations of the gateway's rules.
 *
 * `random` becomes part of the key if the request has no form key and no `Idempotency-Key`.
 */
export function prepare(
  fields: Readonly<Record<string, unknown>>,
  context: RequestContext,
  consent: Consent | undefined,
  now: Date,
  random: string,
): PreparedLead {
  const typed = Object.fromEntries(
    Object.entries(fields)
      .map(([name, value]): [string, unknown] => [storable(name), clean(value)])
      .filter(([name, value]) => !KIT_FIELDS.has(name) && value !== "" && value !== null),
  );
  if (context.files.length) typed[FILES_NOT_STORED] = clean(context.files.join(", "));
  const agreed = asBoolean(fields.consent);
  const locale = text(fields.locale, LINE_MAX) || text(language(context.language), LINE_MAX);
  const body = {
    ...typed,
    ...(agreed === undefined ? (consent ? { consent: false } : {}) : { consent: agreed }),
    ...(locale ? { locale } : {}),
    submitted_at: now.toISOString(),
    source: sourceOf(fields, context.referer),
    meta: metaOf(fields, context, agreed === true ? consent : undefined, now),
  } as LeadSubmission;
  const violations = [...validate(body, leadSubmissionSchema as Schema), ...missing(typed)];
  if (consent && consent.required !== false && agreed !== true) {
    violations.push({ field: "consent", rule: "required" });
  }
  const given = text(fields[FORM_KEY]) || text(fields.request_id) || context.key || random;
  return { body, key: keyOf(given, { ...typed, consent: agreed }), violations };
}

/** Return a violation for a lead that has neither an email nor a phone number, and for one without content. */
function missing(typed: Readonly<Record<string, unknown>>): Violation[] {
  const { email, phone, ...others } = typed;
  const callable = /[\p{L}\p{N}]/u.test(isFilled(phone) ? String(phone) : "");
  const says = Object.values(others).some(isFilled) || (isFilled(email) && isFilled(phone));
  return [
    ...(isFilled(email) || callable ? [] : [{ field: "email", rule: "required" } as const]),
    ...(says ? [] : [{ field: "message", rule: "required" } as const]),
  ];
}

/** Return true for a text with visible characters, a number or a boolean, and a list or object that has one. */
function isFilled(value: unknown): boolean {
  if (typeof value === "string") return /[^\p{C}\p{Z}]/u.test(value);
  if (typeof value === "object" && value !== null) return Object.values(value).some(isFilled);
  return value !== undefined && value !== null;
}

/**
 * Return the idempotency key: a digest of the form's key and of the visitor's values.
 *
 * A double click and a reload give the same key. A corrected message gives another key. If a cache shows the same form
 * to several visitors, their values differ, and so do their keys.
 */
function keyOf(given: string, typed: Readonly<Record<string, unknown>>): string {
  const sorted = Object.entries(typed).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256")
    .update(`${given}\n${JSON.stringify(sorted)}`)
    .digest("base64url");
}

function sourceOf(fields: Readonly<Record<string, unknown>>, referer: string | null): Source {
  const given = isObject(fields.source) ? { ...fields, ...fields.source } : fields;
  const page = text(given.page_url) || referer || "";
  // Without JavaScript, the campaign is only in the URL of the form's page.
  const query = URL.canParse(page) ? new URL(page).searchParams : new URLSearchParams();
  const found: Record<string, string> = {
    page_url: text(page, URL_MAX),
    ...Object.fromEntries(
      SOURCE_FIELDS.slice(1).map((name) => [name, text(given[name], /utm_/.test(name) ? LINE_MAX : URL_MAX)]),
    ),
  };
  for (const name of CAMPAIGN) found[name] ||= text(query.get(name), LINE_MAX);
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value));
}

function metaOf(
  fields: Readonly<Record<string, unknown>>,
  context: RequestContext,
  consent: Consent | undefined,
  now: Date,
): Meta {
  const shown = text(fields[RENDERED_AT], LINE_MAX);
  const honeypot = text(fields[HONEYPOT], LINE_MAX);
  const userAgent = text(context.userAgent, 500);
  const shownMs = Date.parse(shown);
  const seconds = (now.getTime() - shownMs) / 1000;
  const version = text(fields[CONSENT_VERSION], LINE_MAX) || consent?.version;
  return {
    ...(context.address ? { ip: context.address } : {}),
    ...(userAgent ? { user_agent: userAgent } : {}),
    ...(honeypot ? { honeypot } : {}),
    ...(shown ? { form_rendered_at: shown } : {}),
    // Measured now, because the lead may be queued for hours before the gateway receives it.
    ...(seconds >= 0 ? { fill_seconds: Math.round(seconds * 10) / 10 } : {}),
    // If the form was rendered by an earlier release, its consent text is unknown here.
    ...(consent && version === consent.version ? { consent_text: consent.text } : {}),
    ...(consent && version ? { consent_version: version } : {}),
  };
}

function asBoolean(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  const said = text(value).toLowerCase();
  return said ? ["on", "true", "yes", "1"].includes(said) : undefined;
}

function language(accepted: string | null): string {
  const first = (accepted ?? "").split(/[,;]/, 1)[0]?.trim() ?? "";
  return first === "*" ? "" : first;
}

/**
 * The initial state of a form. After a refusal without JavaScript it contains the errors and the visitor's values.
 *
 * The route passes errors and values to the form's page in a cookie that lasts five minutes, never in a URL.
 */

import { randomUUID } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { FILES, FORM_KEY, HONEYPOT, RENDERED_AT } from "./names.js";
import { text } from "./text.js";
import { isObject } from "./validate.js";

export const COOKIE = "fastcore_form";
const COOKIE_SECONDS = 300;
// Browsers accept cookies of up to 4 KiB, including the name and the attributes.
const COOKIE_MAX = 3800;
const INFLATED_MAX = 64 * 1024;

export interface FormState {
  /** A random id of this rendered form. The lead's idempotency key is derived from it. */
  readonly key: string;
  /** When the form was first shown, in ISO 8601. */
  readonly renderedAt: string;
  /** The error messages by field name. */
  readonly errors: Readonly<Record<string, string>>;
  /** The message above the form, or an empty text. */
  readonly message: string;
  /** The values that the visitor had entered, by field name. */
  readonly values: Readonly<Record<string, string>>;
}

/** The result of `cookies()` of Next.js, or another object with this method. */
interface Cookies {
  get(name: string): { readonly value: string } | undefined;
}

/**
 * Return the state of a new form for one visitor.
 *
 * Because it reads cookies, Next.js renders the form's page for each request instead of once at build time.
 */
export function openForm(cookies: Cookies, now: Date = new Date()): FormState {
  const left = unpack(cookies.get(COOKIE)?.value);
  const renderedAt = left.renderedAt;
  return {
    key: randomUUID(),
    renderedAt: typeof renderedAt === "string" ? renderedAt : now.toISOString(),
    errors: texts(left.errors),
    message: typeof left.message === "string" ? left.message : "",
    values: texts(left.values),
  };
}

/**
 * Return the `Set-Cookie` value that passes a refusal to the form's page.
 *
 * `isWhole` is true if the cookie contains all values of the visitor. If they do not fit, the longest are left out.
 */
export function refusedCookie(
  path: string,
  secure: boolean,
  message: string,
  errors: Readonly<Record<string, string>>,
  fields: Readonly<Record<string, unknown>>,
): { readonly cookie: string; readonly isWhole: boolean } {
  const hidden = new Set([FORM_KEY, HONEYPOT, RENDERED_AT, FILES]);
  const values = Object.entries(fields)
    .filter((each): each is [string, string] => typeof each[1] === "string" && !hidden.has(each[0]))
    // If not all values fit, leave out the longest, so that the visitor retypes as few fields as possible.
    .sort(([, a], [, b]) => a.length - b.length);
  const packedWith = (count: number) =>
    pack({
      message,
      errors,
      renderedAt: text(fields[RENDERED_AT], 100),
      values: Object.fromEntries(values.slice(0, count)),
    });
  // Take as many values as `unpack` accepts. If the cookie is still too large, find the number of values by
  // bisection: compressing once per field would take a minute for a thousand fields.
  let most = 0;
  for (let size = 0; most < values.length; most += 1) {
    const [name, value] = values[most] ?? ["", ""];
    size += Buffer.byteLength(JSON.stringify([name, value]));
    if (size > INFLATED_MAX / 2) break;
  }
  let packed = packedWith(most);
  let isWhole = most === values.length;
  if (packed.length > COOKIE_MAX) {
    isWhole = false;
    packed = packedWith(0);
    for (let fits = 0; most - fits > 1; ) {
      const count = Math.floor((fits + most) / 2);
      const tried = packedWith(count);
      if (tried.length > COOKIE_MAX) most = count;
      else [fits, packed] = [count, tried];
    }
  }
  return { cookie: `${COOKIE}=${packed}; ${attributes(path, secure)}; Max-Age=${COOKIE_SECONDS}`, isWhole };
}

/** Return the `Set-Cookie` value that deletes the cookie of `refusedCookie`. */
export function clearedCookie(path: string, secure: boolean): string {
  return `${COOKIE}=; ${attributes(path, secure)}; Max-Age=0`;
}

function attributes(path: string, secure: boolean): string {
  return `Path=${path}; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;
}

function pack(value: unknown): string {
  return deflateRawSync(JSON.stringify(value)).toString("base64url");
}

function unpack(cookie: string | undefined): Record<string, unknown> {
  try {
    const packed = Buffer.from(cookie ?? "", "base64url");
    const value: unknown = JSON.parse(
      inflateRawSync(packed, { maxOutputLength: INFLATED_MAX }).toString("utf8"),
    );
    return isObject(value) ? value : {};
  } catch {
    return {}; // no cookie, or not one of ours
  }
}

function texts(value: unknown): Record<string, string> {
  return isObject(value)
    ? Object.fromEntries(
        Object.entries(value).filter((each): each is [string, string] => typeof each[1] === "string"),
      )
    : {};
}

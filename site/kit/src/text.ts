/** Normalises text as the gateway does, in linear time. */

import { isObject } from "./validate.js";

const BLANK = /^[\s\p{Cc}]$/u;

/**
 * Return the value with every text in it cleaned, at any depth of lists and objects.
 *
 * Removes what PostgreSQL and JSON cannot store, and blanks and control characters at both ends. Replaces CRLF, which
 * browsers post as the line end, by LF, because `maxLength` counts a line end as one character.
 */
export function clean<T>(value: T): T {
  if (typeof value === "string") {
    return trim(storable(value).replaceAll("\r\n", "\n")) as T;
  }
  if (Array.isArray(value)) return value.map(clean) as T;
  if (isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [storable(name), clean(each)]),
    ) as T;
  }
  return value;
}

/** Return the text without NUL, and with U+FFFD for each lone surrogate. PostgreSQL and JSON store neither. */
export function storable(value: string): string {
  return value.replaceAll("\0", "").toWellFormed();
}

/** Return the cleaned text, cut to `maximum` UTF-16 units, or an empty text if the value is no string. */
export function text(value: unknown, maximum = Number.POSITIVE_INFINITY): string {
  return typeof value === "string" ? cut(clean(value), maximum) : "";
}

const CHARACTERS = new Intl.Segmenter();
// The emoji of a family has 11 units. A longer grapheme is cut inside, because it is no real character.
const CHARACTER_MAX = 64;

/** Cut a text to at most `maximum` UTF-16 units, but not inside a grapheme, such as the emoji of a family. */
export function cut(value: string, maximum: number): string {
  if (value.length <= maximum) return value;
  // Segment only the text near the cut: segmenting from the start would take long, and is not needed.
  const from = Math.max(0, maximum - 2 * CHARACTER_MAX);
  const near = CHARACTERS.segment(value.slice(from, maximum + CHARACTER_MAX));
  const found = near.containing(maximum - from);
  let end = found ? from + found.index : maximum;
  if (maximum - end > CHARACTER_MAX) end = maximum;
  const last = value.charCodeAt(end - 1);
  return value.slice(0, last >= 0xd800 && last <= 0xdbff ? end - 1 : end).trimEnd();
}

// Not by the regular expression `\s+$`, whose time grows with the square of a run of blanks.
function trim(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && BLANK.test(value.charAt(start))) start += 1;
  while (end > start && BLANK.test(value.charAt(end - 1))) end -= 1;
  return value.slice(start, end);
}

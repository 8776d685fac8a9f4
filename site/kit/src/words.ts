/** What the visitor reads. A site that speaks another language gives its own. */

import type { Violation } from "./validate.js";

export interface Words {
  readonly required: string;
  readonly email: string;
  readonly tooLong: (limit: number) => string;
  readonly invalid: string;
  readonly consent: string;
  /** The gateway's own words about a field, such as "must not be empty". */
  readonly refused: (message: string) => string;
  readonly check: string;
  readonly tooMany: string;
  readonly tooLarge: string;
  readonly unreadable: string;
  /** Posted by another website's page. */
  readonly elsewhere: string;
  readonly sorry: string;
  readonly offline: string;
  /** Shown with the thanks: the message was taken, the files that came with it were not. */
  readonly filesNotStored: string;
  /** Shown beside the field as soon as the visitor chooses a file, which is removed from it. */
  readonly noFiles: string;
  /** The button of the page that shows a long message again to a visitor without JavaScript. */
  readonly send: string;
}

export const WORDS: Words = {
  required: "Please fill this in.",
  email: "Please enter an email address, such as name@example.com.",
  tooLong: (limit) => `Please use at most ${limit.toLocaleString("en")} characters.`,
  invalid: "Please check this.",
  consent: "Please tick this, so that we may answer you.",
  refused: (message) => `Please check this: it ${message}.`,
  check: "Please check the fields that are marked, and send it again.",
  tooMany: "Many messages came from your connection. Please wait a few minutes, and send it again.",
  tooLarge: "This is more than we can take in one message. Please shorten it, and send it again.",
  unreadable: "This message could not be read. Please send the form again.",
  elsewhere: "This did not come from our own form. Please check it, and send it from here.",
  sorry: "We could not take your message now, and have not kept it. Please send it again in a few minutes.",
  offline:
    "Our site could not be reached. Please check your connection, and send it again: nothing is lost here.",
  filesNotStored: "Your message was sent without its files: this form cannot store files.",
  noFiles: "This form cannot take files. The file was removed; your message can be sent without it.",
  send: "Send",
};

/** In the address of the thanks page, for visitors without JavaScript. */
export const NOTICE = { name: "notice", filesNotStored: "files-not-stored" } as const;

/** What the thanks page says besides thanks, from its `searchParams`; an empty text where there is nothing. */
export function thanksNotice(
  searchParams: Readonly<Record<string, string | readonly string[] | undefined>>,
  words: Partial<Words> = {},
): string {
  return searchParams[NOTICE.name] === NOTICE.filesNotStored
    ? (words.filesNotStored ?? WORDS.filesNotStored)
    : "";
}

export function explain(violation: Violation, words: Words): string {
  if (violation.field === "consent") return words.consent;
  return violation.rule === "tooLong" ? words.tooLong(violation.limit ?? 0) : words[violation.rule];
}

/** The texts that a visitor sees. A site in another language passes its own texts. */

import type { Violation } from "./validate.js";

export interface Words {
  readonly required: string;
  readonly email: string;
  readonly tooLong: (limit: number) => string;
  readonly invalid: string;
  readonly consent: string;
  /** Turns the gateway's message about a field, such as "must not be empty", into an error message. */
  readonly refused: (message: string) => string;
  readonly check: string;
  readonly tooMany: string;
  readonly tooLarge: string;
  readonly unreadable: string;
  /** Shown if a page of another website posted the form. */
  readonly elsewhere: string;
  readonly sorry: string;
  readonly offline: string;
  /** Shown after a success: the message was sent without its files. */
  readonly filesNotStored: string;
  /** Shown beside a file field when the visitor chooses a file. The file is removed from the field. */
  readonly noFiles: string;
  /** The label of the button on the page of `refusedFormPage`. */
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

/** The query parameter of the thanks page that says that files were not stored, and its value. */
export const NOTICE = { name: "notice", filesNotStored: "files-not-stored" } as const;

/** Return the notice that the thanks page must show, or an empty text. `searchParams` are those of the page. */
export function thanksNotice(
  searchParams: Readonly<Record<string, string | readonly string[] | undefined>>,
  words: Partial<Words> = {},
): string {
  return searchParams[NOTICE.name] === NOTICE.filesNotStored
    ? (words.filesNotStored ?? WORDS.filesNotStored)
    : "";
}

/** Return the error message for a violation. */
export function explain(violation: Violation, words: Words): string {
  if (violation.field === "consent") return words.consent;
  return violation.rule === "tooLong" ? words.tooLong(violation.limit ?? 0) : words[violation.rule];
}

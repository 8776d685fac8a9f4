/** Builds the response to a post: JSON for the kit's client side, a redirect for a browser without JavaScript. */

import { formAgain } from "./form-again.js";
import { clearedCookie, refusedCookie } from "./form-state.js";
import { NOTICE, type Words } from "./words.js";

export interface Pages {
  readonly formPage: string;
  readonly thanksPage: string;
  readonly words: Words;
  /** Called for each refused post, with the HTTP status and the error messages by field name. */
  readonly refused: (status: number, errors: Readonly<Record<string, string>>) => void;
}

/** The possible responses to one post: `thanks` after a success, `no` after a refusal. */
export class Say {
  constructor(
    readonly request: Request,
    readonly plain: boolean,
    readonly fields: Readonly<Record<string, unknown>>,
    readonly pages: Pages,
  ) {}

  thanks(status: 201 | 202, leadId: string | undefined, withoutFiles: boolean): Response {
    const headers = { ...NO_STORE, "set-cookie": clearedCookie(this.#path, this.#secure) };
    if (this.plain)
      return seeOther(withoutFiles ? this.#thanksWithoutFiles() : this.pages.thanksPage, headers);
    const notice = withoutFiles ? { notice: this.pages.words.filesNotStored } : {};
    return Response.json(
      { status: "received", ...(leadId ? { leadId } : {}), ...notice },
      { status, headers },
    );
  }

  no(
    status: number,
    message: string,
    errors: Readonly<Record<string, string>> = {},
    more: Readonly<Record<string, string>> = {},
  ): Response {
    this.pages.refused(status, errors);
    if (this.plain) {
      const { cookie, isWhole } = refusedCookie(this.#path, this.#secure, message, errors, this.fields);
      // Too long for a cookie. Not for a post that a stranger's page made: our own form shows more than this page.
      if (!isWhole && status === 422)
        return formAgain(status, message, errors, this.fields, this.pages.words);
      return seeOther(this.#back(), { ...NO_STORE, "set-cookie": cookie });
    }
    const problem = {
      title: "Not sent",
      status,
      detail: message,
      errors: Object.entries(errors).map(([field, each]) => ({ field, message: each })),
    };
    return new Response(JSON.stringify(problem), {
      status,
      headers: { ...NO_STORE, ...more, "content-type": "application/problem+json" },
    });
  }

  #thanksWithoutFiles(): string {
    const [page = "", anchor] = this.pages.thanksPage.split("#");
    const query = `${page.includes("?") ? "&" : "?"}${NOTICE.name}=${NOTICE.filesNotStored}`;
    return `${page}${query}${anchor === undefined ? "" : `#${anchor}`}`;
  }

  get #path(): string {
    // Without a slash at its end, which `trailingSlash` of Next.js adds: the cookie is for both.
    return withoutSlash(this.pages.formPage.split(/[?#]/, 1)[0] ?? "");
  }

  get #secure(): boolean {
    const proto = this.request.headers.get("x-forwarded-proto") ?? new URL(this.request.url).protocol;
    return proto.startsWith("https");
  }

  /** Return the path of the form's page, with the query that the visitor's page had. Never another site's URL. */
  #back(): string {
    const referer = this.request.headers.get("referer") ?? "";
    const seen = URL.canParse(referer) ? new URL(referer) : undefined;
    const [page, anchor] = this.pages.formPage.split("#");
    const isOurs = seen && withoutSlash(seen.pathname) === this.#path && !this.pages.formPage.includes("?");
    return `${isOurs ? seen.pathname + seen.search : page}${anchor === undefined ? "" : `#${anchor}`}`;
  }
}

const NO_STORE = { "cache-control": "no-store" };

function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/$/, "") || "/";
}

function seeOther(location: string, headers: Readonly<Record<string, string>>): Response {
  return new Response(null, { status: 303, headers: { ...headers, location } });
}

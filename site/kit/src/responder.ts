/** Builds the response to a post: JSON for the kit's client side, a redirect for a browser without JavaScript. */

import { clearedCookie, refusedCookie } from "./form-state.js";
import { refusedFormPage } from "./refused-form-page.js";
import { NOTICE, type Words } from "./words.js";

export interface Pages {
  readonly formPage: string;
  readonly thanksPage: string;
  readonly words: Words;
  /** Called for each refused post, with the HTTP status and the error messages by field name. */
  readonly onRefusal: (status: number, errors: Readonly<Record<string, string>>) => void;
}

/** The possible responses to one post: `accept` after a success, `refuse` after a refusal. */
export class Responder {
  constructor(
    readonly request: Request,
    readonly wantsPage: boolean,
    readonly fields: Readonly<Record<string, unknown>>,
    readonly pages: Pages,
  ) {}

  accept(status: 201 | 202, leadId: string | undefined, withoutFiles: boolean): Response {
    const headers = { ...NO_STORE, "set-cookie": clearedCookie(this.#formPath, this.#isSecure) };
    if (this.wantsPage)
      return seeOther(withoutFiles ? this.#thanksWithoutFiles() : this.pages.thanksPage, headers);
    const notice = withoutFiles ? { notice: this.pages.words.filesNotStored } : {};
    return Response.json(
      { status: "received", ...(leadId ? { leadId } : {}), ...notice },
      { status, headers },
    );
  }

  refuse(
    status: number,
    message: string,
    errors: Readonly<Record<string, string>> = {},
    more: Readonly<Record<string, string>> = {},
  ): Response {
    this.pages.onRefusal(status, errors);
    if (this.wantsPage) {
      const { cookie, isWhole } = refusedCookie(this.#formPath, this.#isSecure, message, errors, this.fields);
      // The values do not fit into a cookie, so show them on a page. Not for a post from another website (403): the
      // visitor has to see the site's own form.
      if (!isWhole && status === 422)
        return refusedFormPage(status, message, errors, this.fields, this.pages.words);
      return seeOther(this.#formUrl(), { ...NO_STORE, "set-cookie": cookie });
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

  get #formPath(): string {
    // Without the trailing slash that Next.js may add (`trailingSlash`), so that the cookie applies to both paths.
    return withoutSlash(this.pages.formPage.split(/[?#]/, 1)[0] ?? "");
  }

  get #isSecure(): boolean {
    const proto = this.request.headers.get("x-forwarded-proto") ?? new URL(this.request.url).protocol;
    return proto.startsWith("https");
  }

  /** Return the path of the form's page, with the query that the visitor's page had. Never another site's URL. */
  #formUrl(): string {
    const referer = this.request.headers.get("referer") ?? "";
    const referring = URL.canParse(referer) ? new URL(referer) : undefined;
    const [page, anchor] = this.pages.formPage.split("#");
    const isFormPage =
      referring && withoutSlash(referring.pathname) === this.#formPath && !this.pages.formPage.includes("?");
    return `${isFormPage ? referring.pathname + referring.search : page}${anchor === undefined ? "" : `#${anchor}`}`;
  }
}

const NO_STORE = { "cache-control": "no-store" };

function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/$/, "") || "/";
}

function seeOther(location: string, headers: Readonly<Record<string, string>>): Response {
  return new Response(null, { status: 303, headers: { ...headers, location } });
}

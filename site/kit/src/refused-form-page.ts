/** Shows a refused form on a page of the kit, for visitors without JavaScript whose text does not fit into a cookie. */

import { FILES } from "./names.js";
import type { Words } from "./words.js";

const LINE_MAX = 200;
const SHOWN_MAX = 100;

/**
 * Return a page with a form that contains all posted `fields`, and the error of each field by name.
 *
 * The page has no style and no script, so that it works with every content security policy of the site.
 */
export function refusedFormPage(
  status: number,
  message: string,
  errors: Readonly<Record<string, string>>,
  fields: Readonly<Record<string, unknown>>,
  words: Words,
): Response {
  const all = { ...Object.fromEntries(Object.keys(errors).map((name) => [name, ""])), ...fields };
  // Limits the size of the page: no person fills in hundreds of fields.
  const shown = Object.entries(all).filter(([name]) => name !== FILES);
  const rows = shown.slice(0, SHOWN_MAX).flatMap(([name, value]) => {
    const values = (Array.isArray(value) ? value : [value]).map(String);
    return values.map((each) => field(name, each, errors[name]));
  });
  const page = `<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>${html(message)}</title>
<h1>${html(message)}</h1>
<form method="post">
${rows.join("\n")}
<p><button>${html(words.send)}</button></p>
</form>
`;
  return new Response(page, {
    status,
    headers: { "cache-control": "no-store", "content-type": "text/html; charset=utf-8" },
  });
}

function field(name: string, value: string, error: string | undefined): string {
  const attributes = `name="${html(name)}"`;
  const isLong = value.length > LINE_MAX || value.includes("\n");
  if (error === undefined && !isLong) return `<input type="hidden" ${attributes} value="${html(value)}">`;
  const input = isLong
    ? `<textarea ${attributes} rows="12" cols="60">\n${html(value)}</textarea>`
    : name === "consent"
      ? `<input type="checkbox" ${attributes}>`
      : `<input ${attributes} value="${html(value)}" aria-invalid="true">`;
  return `<p><label>${html(name)}<br>${input}</label> <strong>${html(error ?? "")}</strong></p>`;
}

function html(text: string): string {
  return text.replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
}

/**
 * Remembers the first and the last campaign of a visit, with the landing page of each.
 *
 * The values are in memory until the next reload. Only if the site has the visitor's consent, they are also in the
 * browser's session storage.
 */

import { CAMPAIGN } from "./names.js";

type Touch = Readonly<Record<string, string>>;
interface Touches {
  readonly first: Touch;
  readonly last: Touch;
}

const STORED = "fastcore_visit";
let known: Touches | undefined;
let isRead = false;

/**
 * Remember the current page as the landing page if it is the first of the visit or its URL names a campaign.
 *
 * `stored` permits the use of the session storage.
 */
export function noteVisit(stored: boolean): void {
  const query = new URLSearchParams(location.search);
  const touch: Touch = Object.fromEntries(
    [...CAMPAIGN.map((name) => [name, query.get(name) ?? ""]), ["referrer", foreignReferrer()]].filter(
      ([, value]) => value,
    ),
  );
  if (stored && !isRead) {
    isRead = true;
    const before = read();
    // A form on this page may have noted it before the consent was known.
    const isNew = known && CAMPAIGN.some((name) => known?.last[name]);
    if (before) known = isNew && known ? { first: before.first, last: known.last } : before;
  }
  if (!known) {
    const first = { ...touch, landing_page: location.href };
    known = { first, last: first };
  } else if (CAMPAIGN.some((name) => touch[name])) {
    known = { ...known, last: { ...touch, landing_page: location.href } };
  }
  if (stored) write(known);
}

/** Return the fields of the lead's source: the last campaign and, as `first_...`, the first one if it differs. */
export function sourceFields(): Touch {
  if (!known) return {};
  const { first, last } = known;
  const isSame = CAMPAIGN.every((name) => first[name] === last[name]);
  // The landing page is the first of the visit, as web analytics count it.
  const { landing_page = "", ...campaign } = first;
  return {
    ...last,
    landing_page,
    ...(isSame
      ? {}
      : Object.fromEntries(Object.entries(campaign).map(([name, value]) => [`first_${name}`, value]))),
  };
}

function foreignReferrer(): string {
  const isOwn = URL.canParse(document.referrer) && new URL(document.referrer).origin === location.origin;
  return isOwn ? "" : document.referrer;
}

function read(): Touches | undefined {
  try {
    const found = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    return found?.first && found.last ? found : undefined;
  } catch {
    return undefined; // storage is off, or holds something else
  }
}

function write(touches: Touches): void {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(touches));
  } catch {
    // Storage is off or full: this page still knows.
  }
}

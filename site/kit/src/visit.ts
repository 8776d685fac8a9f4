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

const STORAGE_KEY = "fastcore_visit";
let known: Touches | undefined;
let isRead = false;

/**
 * Remember the current page as the landing page if it is the first of the visit or its URL names a campaign.
 *
 * `canStore` permits the use of the session storage.
 */
export function recordVisit(canStore: boolean): void {
  const query = new URLSearchParams(location.search);
  const touch: Touch = Object.fromEntries(
    [...CAMPAIGN.map((name) => [name, query.get(name) ?? ""]), ["referrer", foreignReferrer()]].filter(
      ([, value]) => value,
    ),
  );
  if (canStore && !isRead) {
    isRead = true;
    const before = read();
    // A form on this page may have recorded the visit before the consent was known.
    const isNew = known && CAMPAIGN.some((name) => known?.last[name]);
    if (before) known = isNew && known ? { first: before.first, last: known.last } : before;
  }
  if (!known) {
    const first = { ...touch, landing_page: location.href };
    known = { first, last: first };
  } else if (CAMPAIGN.some((name) => touch[name])) {
    known = { ...known, last: { ...touch, landing_page: location.href } };
  }
  if (canStore) write(known);
}

/** Return the fields of the lead's source: the last campaign and, as `first_...`, the first one if it differs. */
export function sourceFields(): Touch {
  if (!known) return {};
  const { first, last } = known;
  const isSame = CAMPAIGN.every((name) => first[name] === last[name]);
  // The landing page is the first page of the visit, as in web analytics.
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
    const found = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "null");
    return found?.first && found.last ? found : undefined;
  } catch {
    return undefined; // storage is disabled, or contains other data
  }
}

function write(touches: Touches): void {
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(touches));
  } catch {
    // Storage is disabled or full. The values stay in memory.
  }
}

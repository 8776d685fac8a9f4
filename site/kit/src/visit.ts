/**
 * Where a visitor came from, for the whole visit: the first and the last page that a campaign or another website led
 * to. In memory until the next reload; in the browser's session storage only where the site has consent for that.
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

/** Note the page that is open now, if somebody led the visitor to it. */
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

/** The fields of the lead's source: the last touch, and the first one where it was another. */
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

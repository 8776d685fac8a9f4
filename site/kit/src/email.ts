/**
 * Checks an email address by the same rules as the gateway, in linear time.
 *
 * A visitor whose lead is stored in the queue is thanked before the gateway has checked the lead. So the site must
 * refuse every address that the gateway would refuse. It must also accept every address that the gateway accepts, or
 * the lead is lost. There is one intended difference: the site refuses an address with a display name, such as
 * `Ada <ada@example.com>`.
 */

import { domainToASCII, domainToUnicode } from "node:url";

const ADDRESS_MAX = 254;
// RFC 6531 and email-validator: letters, marks, numbers, punctuation and symbols outside ASCII.
const ATOM = /^(?:[\w!#$%&'*+\-/=?^`{|}~]|(?!\p{ASCII})[\p{L}\p{M}\p{N}\p{P}\p{S}])+$/u;
// The domain before its mapping by UTS #46, which also replaces the dots of other scripts (`。．｡`) by `.`.
const DOMAIN = /^(?:[A-Za-z0-9.-]|(?!\p{ASCII})[\p{L}\p{M}\p{N}\p{P}\p{S}])+$/u;
// UTS #46 expands these characters to text that contains a dot. email-validator refuses them.
const HIDDEN_DOT = /[\u2024-\u2026\u2488-\u249b\ufe52]/;
// RFC 5892: the characters that IDNA 2008 allows in a mapped label. UTS #46 alone also allows symbols, such as emoji.
const IDNA =
  /^(?:[a-z0-9-]|(?![\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b])[\p{Ll}\p{Lo}\p{Lm}\p{Mn}\p{Mc}\p{Nd}\u06fd\u06fe\u0f0b\u3007]|(?<=l)\u00b7(?=l)|\u0375(?=\p{Script=Greek})|(?<=\p{Script=Hebrew})[\u05f3\u05f4]|\u30fb)+$/u;
const KATAKANA_DOT_ONLY = /^(?!.*[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]).*\u30fb/u;
// RFC 5891: a label neither begins nor ends with a hyphen, and has no two hyphens at its third position.
const HYPHENS = /^-|-$|^(?!xn)..--/u;
// RFC 5893, for a domain with text that is written from right to left: a label has one direction, does not begin with
// a digit, and has one kind of digits.
const RTL = /[\u0590-\u08ff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const RTL_LABEL =
  /^(?!.*[0-9\u06f0-\u06f9].*[\u0660-\u0669]|.*[\u0660-\u0669].*[0-9\u06f0-\u06f9])(?![\p{M}\p{N}])[\u0590-\u08ff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}][\u0590-\u08ff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}0-9\p{Mn}-]*$/u;
const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
// Top-level domains that receive no email (RFC 6761 and others).
const SPECIAL = new Set(["arpa", "invalid", "local", "localhost", "onion", "test"]);

/** Return true if the gateway would accept the address. */
export function isEmail(value: string): boolean {
  const at = value.lastIndexOf("@");
  if (at < 1 || value.length > ADDRESS_MAX) return false;
  const [local, domain] = [value.slice(0, at), value.slice(at + 1)];
  const normal = local.normalize("NFC");
  return (
    !/^\p{M}/u.test(local) &&
    [...local.split("."), ...normal.split(".")].every((atom) => ATOM.test(atom)) &&
    isDomain(domain) &&
    Buffer.byteLength(`${normal}@${domainToUnicode(domain)}`) <= ADDRESS_MAX
  );
}

function isDomain(domain: string): boolean {
  if (!DOMAIN.test(domain) || HIDDEN_DOT.test(domain) || /^\p{M}/u.test(domain)) return false;
  const labels = domainToASCII(domain).split(".");
  const top = labels.at(-1) ?? "";
  return (
    labels.join(".").length < ADDRESS_MAX &&
    labels.length > 1 &&
    labels.every((label) => label.length <= 63 && LABEL.test(label)) &&
    /[a-z]$/.test(top) &&
    !SPECIAL.has(top) &&
    isInternational(domainToUnicode(domain))
  );
}

function isInternational(domain: string): boolean {
  const mixed = RTL.test(domain);
  return domain
    .split(".")
    .every(
      (label) =>
        IDNA.test(label) &&
        !HYPHENS.test(label) &&
        !KATAKANA_DOT_ONLY.test(label) &&
        (!mixed || (RTL.test(label) ? RTL_LABEL : /^\p{L}(.*[\p{L}\p{M}\p{Nd}])?$/u).test(label)),
    );
}

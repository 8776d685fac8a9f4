/**
 * Which addresses the gateway accepts. A lead that waits in the queue is thanked before the gateway sees it, so a
 * wrong address has to be found here. Linear in its length.
 */

import { domainToASCII } from "node:url";

const LOCAL_MAX = 64;
const ADDRESS_MAX = 254;
const ATOM = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\p{L}\p{N}\p{M}]+$/u;
const DOMAIN = /^[0-9\p{L}\p{M}.-]+$/u;
const LABEL = /^(?!(?!xn)..--)[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
// RFC 6761 and others: nobody gets mail there.
const SPECIAL = new Set(["arpa", "invalid", "local", "localhost", "onion", "test"]);

export function isEmail(value: string): boolean {
  const at = value.lastIndexOf("@");
  if (at < 1 || value.length > ADDRESS_MAX) return false;
  const [local, domain] = [value.slice(0, at), value.slice(at + 1)];
  return (
    local.length <= LOCAL_MAX &&
    !/^\p{M}/u.test(local) &&
    local.split(".").every((atom) => ATOM.test(atom)) &&
    isDomain(domain)
  );
}

function isDomain(domain: string): boolean {
  const ascii = DOMAIN.test(domain) ? domainToASCII(domain) : "";
  const labels = ascii.split(".");
  const top = labels.at(-1) ?? "";
  return (
    ascii.length <= ADDRESS_MAX &&
    labels.length > 1 &&
    labels.every((label) => label.length <= 63 && LABEL.test(label)) &&
    /^([a-z]|xn--)/.test(top) &&
    /[a-z]$|^xn--/.test(top) &&
    !SPECIAL.has(top)
  );
}

/** How often one visitor's address may post. Bounded memory; time is an argument. */

import { isIPv4, isIPv6 } from "node:net";

export interface Limit {
  readonly posts: number;
  readonly seconds: number;
}

export class Window {
  readonly #limit: Limit;
  readonly #maximum: number;
  readonly #seen = new Map<string, { start: number; posts: number }>();

  constructor(limit: Limit, maximum = 10_000) {
    this.#limit = limit;
    this.#maximum = maximum;
  }

  /** Count one post; return 0 where it is within the limit, else the seconds until the next may come. */
  hit(address: string, nowMs: number): number {
    const windowMs = this.#limit.seconds * 1000;
    let found = this.#seen.get(address);
    if (!found || nowMs - found.start >= windowMs) {
      found = { start: nowMs, posts: 0 };
      this.#seen.delete(address); // again at the end: the map's order is that of the windows
      this.#seen.set(address, found);
      const oldest = this.#seen.keys().next().value;
      if (this.#seen.size > this.#maximum && oldest !== undefined) this.#seen.delete(oldest);
    }
    found.posts += 1;
    return found.posts <= this.#limit.posts
      ? 0
      : Math.max(1, Math.ceil((found.start + windowMs - nowMs) / 1000));
  }
}

/** The visitor's address: the one that the outermost proxy of ours has seen. What stands left of it is a claim. */
export function visitorAddress(headers: Headers, proxyHops: number): string | undefined {
  const addresses = (headers.get("x-forwarded-for") ?? "").split(",").map((each) => each.trim());
  const found = addresses[Math.max(0, addresses.length - proxyHops)] ?? "";
  const address = found.replace(/^\[(.*)\](:\d+)?$/, "$1").replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, "$1");
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return isIPv4(plain) || isIPv6(plain) ? plain : undefined;
}

/** What an address is counted by: an IPv6 host owns a whole /64. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail = ""] = address.split("%", 1).join("").split("::");
  const left = head.split(":").filter(Boolean);
  const right = tail.split(":").filter(Boolean);
  const zeros = address.includes("::") ? Array(Math.max(0, 8 - left.length - right.length)).fill("0") : [];
  return `${[...left, ...zeros, ...right]
    .slice(0, 4)
    .map((each) => Number.parseInt(each, 16).toString(16))
    .join(":")}::/64`;
}

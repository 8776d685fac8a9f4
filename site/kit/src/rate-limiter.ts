/** A fixed-window rate limiter for IP addresses, with bounded memory. */

import { isIPv4, isIPv6 } from "node:net";

export interface Limit {
  readonly posts: number;
  readonly seconds: number;
}

export class RateLimiter {
  readonly #limit: Limit;
  readonly #maximum: number;
  readonly #seen = new Map<string, { start: number; posts: number }>();

  constructor(limit: Limit, maximum = 10_000) {
    this.#limit = limit;
    this.#maximum = maximum;
  }

  /** Count one post. Return 0 if it is within the limit, else the seconds until the next post is allowed. */
  hit(address: string, nowMs: number): number {
    const windowMs = this.#limit.seconds * 1000;
    let found = this.#seen.get(address);
    if (!found || nowMs - found.start >= windowMs) {
      found = { start: nowMs, posts: 0 };
      this.#seen.delete(address); // inserted again below, so that the map is ordered by start
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

/**
 * Return the visitor's IP address, or undefined if the proxies report none.
 *
 * The last `proxyHops` addresses of `X-Forwarded-For` come from the site's own proxies; the first of these is the
 * visitor's. The client can forge all addresses to the left of it.
 */
export function visitorAddress(headers: Headers, proxyHops: number): string | undefined {
  const addresses = (headers.get("x-forwarded-for") ?? "").split(",").map((each) => each.trim());
  const found = addresses[Math.max(0, addresses.length - proxyHops)] ?? "";
  const address = found.replace(/^\[(.*)\](:\d+)?$/, "$1").replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, "$1");
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return isIPv4(plain) || isIPv6(plain) ? plain : undefined;
}

/** Return the key under which an address is counted: an IPv4 address, or the /64 network of an IPv6 address. */
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

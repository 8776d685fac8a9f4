import assert from "node:assert/strict";
import { test } from "node:test";
import { leadSubmissionSchema } from "../src/contract.js";
import { networkOf, RateLimiter, visitorAddress } from "../src/rate-limiter.js";
import { readSettings } from "../src/settings.js";
import { type Schema, validate } from "../src/validate.js";

const KNOWN = new Set(
  "$ref $defs anyOf type properties additionalProperties required minLength maxLength pattern format".split(
    " ",
  ),
);

function keywords(schema: unknown): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  return Object.entries(schema).flatMap(([name, value]) => {
    if (name === "properties" || name === "$defs") return [name, ...Object.values(value).flatMap(keywords)];
    return [name, ...(Array.isArray(value) ? value.flatMap(keywords) : keywords(value))];
  });
}

test("the contract uses no keyword that the validator passes over", () => {
  assert.deepEqual(
    [...new Set(keywords(leadSubmissionSchema))].filter((each) => !KNOWN.has(each)),
    [],
  );
});

const LEAD = { name: "Ada", email: "ada@example.com", service: "Website", message: "Hello" };

for (const [what, changes, wanted] of [
  ["the least", {}, []],
  ["nulls where they may be", { phone: null, source: null, meta: null, consent: null }, []],
  ["what nobody knows", { budget: { deep: [1, true] } }, []],
  ["two hundred characters beyond the first plane", { name: "👋".repeat(200) }, []],
  ["one more", { name: "👋".repeat(201) }, [{ field: "name", rule: "tooLong", limit: 200 }]],
  ["a number for a name", { name: 7 }, [{ field: "name", rule: "invalid" }]],
  ["a long phone", { phone: "1".repeat(201) }, [{ field: "phone", rule: "tooLong", limit: 200 }]],
  ["a source that is none", { source: "x" }, [{ field: "source", rule: "invalid" }]],
  [
    "a part of the source that is none",
    { source: { referrer: 1 } },
    [{ field: "source.referrer", rule: "invalid" }],
  ],
  ["a key with a line break", { request_id: "a\nb" }, [{ field: "request_id", rule: "invalid" }]],
] as const) {
  test(`the schema judges ${what}`, () => {
    assert.deepEqual(validate({ ...LEAD, ...changes }, leadSubmissionSchema as Schema), wanted);
  });
}

for (const [email, good] of [
  ["ada@example.com", true],
  ["ada+tag@mail.example.co.uk", true],
  ["grüße@müller.example", true],
  ["o'hara@example.com", true],
  ["o’brien@example.com", true],
  ["n°1@example.com", true],
  ["info@paral·lel.cat", true],
  ["user@日本語。jp", true],
  ["a@ex．ample.com", true],
  ["info@para·l.cat", false],
  ["ada@👋.example", false],
  ["ada", false],
  ["ada@", false],
  ["@example.com", false],
  ["ada@example", false],
  ["ada@example.", false],
  ["ada @example.com", false],
  ["ada@exa mple.com", false],
  ["a@b@c.example", false],
] as const) {
  test(`${email} is ${good ? "" : "not "}taken for an address`, () => {
    assert.equal(validate({ ...LEAD, email }, leadSubmissionSchema as Schema).length === 0, good);
  });
}

for (const [given, hops, wanted] of [
  ["192.0.2.1", 1, "192.0.2.1"],
  ["198.51.100.9, 192.0.2.1", 1, "192.0.2.1"],
  ["198.51.100.9, 192.0.2.1, 10.0.0.1", 2, "192.0.2.1"],
  ["192.0.2.1", 3, "192.0.2.1"],
  ["192.0.2.1:4711", 1, "192.0.2.1"],
  ["[2001:db8::1]:4711", 1, "2001:db8::1"],
  ["::ffff:192.0.2.1", 1, "192.0.2.1"],
  ["unknown", 1, undefined],
  ["", 1, undefined],
] as const) {
  test(`"${given}" over ${hops} proxies is ${wanted}`, () => {
    assert.equal(visitorAddress(new Headers({ "x-forwarded-for": given }), hops), wanted);
  });
}

test("an IPv6 host is counted by its network", () => {
  const one = networkOf("2001:db8:1:2:aaaa::1");
  assert.equal(networkOf("2001:0db8:1:2::9"), one);
  assert.notEqual(networkOf("2001:db8:1:3::1"), one);
  assert.equal(networkOf("::1"), networkOf("::2"));
  assert.equal(networkOf("192.0.2.1"), "192.0.2.1");
});

test("a limit counts within its time, and its memory is bounded", () => {
  const limiter = new RateLimiter({ posts: 2, seconds: 60 }, 2);
  assert.deepEqual([limiter.hit("a", 0), limiter.hit("a", 1000), limiter.hit("a", 2000)], [0, 0, 58]);
  assert.equal(limiter.hit("a", 60_000), 0);
  limiter.hit("b", 60_000);
  limiter.hit("c", 60_000); // removes a, the oldest
  assert.deepEqual([limiter.hit("a", 60_000), limiter.hit("a", 60_000)], [0, 0]);
});

test("settings are read from the environment, and a wrong one is named", () => {
  assert.deepEqual(
    readSettings({
      FASTCORE_URL: " https://leads.example.com/ ",
      FASTCORE_SITE_INGEST_TOKEN: "t",
      FASTCORE_SITE_QUEUE_FOLDER: "/var/lib/site",
    }),
    {
      url: "https://leads.example.com",
      ingestToken: "t",
      queueToken: "",
      queueFolder: "/var/lib/site",
      proxyHops: 1,
    },
  );
  assert.throws(() => readSettings({ FASTCORE_SITE_PROXY_HOPS: "many" }), /FASTCORE_SITE_PROXY_HOPS/);
});

/** What the kit does for a visitor besides taking the lead: waits, refusals, campaigns, the site's health. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { createHealthRoute } from "../src/index.js";
import { readSettings } from "../src/settings.js";
import { text } from "../src/text.js";
import { accept, filled, Gateway, siteBefore } from "./gateway.js";

let gateway: Gateway;
before(async () => {
  gateway = await Gateway.start();
});
afterEach(() => {
  gateway.taken.length = 0;
  gateway.answer = accept;
});
after(() => gateway.stop());

test("text is cut between the characters that a person sees", () => {
  const family = "\u{1F468}\u200d\u{1F469}\u200d\u{1F467}"; // one character of 8 units
  for (let units = 1; units <= family.length + 3; units += 1) {
    const found = text(`ab${family}${"c".repeat(500)}`, units);
    assert.ok(found === "ab".slice(0, units) || found.startsWith(`ab${family}`), `${units}: ${found}`);
    assert.ok(found.length <= units);
    assert.ok(found.isWellFormed());
  }
  assert.equal(text("e\u0301".repeat(200), 201).length, 200);
  assert.equal(text("a\u0301".repeat(1) + "\u0301".repeat(5000), 300).length, 300); // one "character" of 5,000
  const started = performance.now();
  text("\u0301".repeat(700_000), 200);
  assert.ok(performance.now() - started < 200);
});

test("after a gateway that is silent the next visitors wait 300 ms, until it answers again", async () => {
  let silent = true;
  gateway.answer = (response) => {
    if (!silent) accept(response);
  };
  const site = await siteBefore(gateway.url, { budget: { tryMs: 1000, totalMs: 1500 } });
  const timed = async (n: number) => {
    const started = performance.now();
    const { status } = await site.json(filled({ message: `number ${n}` }));
    return [status, performance.now() - started] as const;
  };
  const [first, firstMs] = await timed(0);
  assert.equal(first, 202);
  assert.ok(firstMs > 1000);
  const next = await Promise.all([1, 2, 3].map(timed));
  for (const [status, ms] of next) {
    assert.equal(status, 202);
    assert.ok(ms < 800, `waited ${ms} ms`);
  }
  assert.equal((await site.queued()).length, 4);
  silent = false;
  assert.equal((await timed(4))[0], 201);
  silent = true;
  assert.ok((await timed(5))[1] > 1000); // the breaker is closed again, so the full budget applies
});

test("a gateway that answers slowly closes the breaker with its late answer", async () => {
  let delayMs = 60_000;
  gateway.answer = (response) => void setTimeout(() => accept(response), delayMs).unref();
  const site = await siteBefore(gateway.url, { budget: { tryMs: 900, totalMs: 1000 } });
  await site.json(filled());
  delayMs = 500;
  assert.equal((await site.json(filled({ message: "a probe" }))).status, 202);
  await new Promise((done) => setTimeout(done, 500));
  assert.equal((await site.json(filled({ message: "after it" }))).status, 201);
});

test("each visitor who is turned away is one line, without what was typed", async () => {
  const site = await siteBefore(gateway.url, { limit: { posts: 3, seconds: 60 } });
  await site.json(filled({ email: "nobody", message: "x".repeat(10_001), "Ada's field": "" }));
  await site.json(filled({ extra: "x".repeat(270_000) }));
  await site.form(filled({ message: "" }) as Record<string, string>);
  await site.json(filled());
  await site.json(filled(), { "sec-fetch-site": "cross-site" });
  assert.deepEqual(
    site.lines.map(({ message, facts }) => [message, facts]),
    [
      ["Post refused", { status: 422, fields: "email, message" }],
      ["Post refused", { status: 413 }],
      ["Post refused", { status: 429 }],
      ["Post refused", { status: 403 }],
    ],
  );
});

test("64 KiB of other fields are sent as they are", async () => {
  const site = await siteBefore(gateway.url);
  const extra = "é".repeat(32 * 1024 - 20);
  assert.equal((await site.json(filled({ extra }))).status, 201);
  assert.equal(gateway.taken[0]?.body.extra, extra);
});

test("click ids and the first touch are part of the lead's source", async () => {
  const site = await siteBefore(gateway.url);
  const fbclid = "Iw".repeat(150);
  await site.json(
    filled({ gclid: "g1", fbclid, first_utm_source: "letter", landing_page: "https://a.example/x" }),
  );
  assert.deepEqual(gateway.taken[0]?.body.source, {
    gclid: "g1",
    fbclid,
    first_utm_source: "letter",
    landing_page: "https://a.example/x",
  });
  assert.equal(gateway.taken[0]?.body.gclid, undefined);
});

test("with a trailing slash the form comes back where it was, and its cookie with it", async () => {
  const site = await siteBefore(gateway.url, { formPage: "/shop/contact" });
  const refused = await site.form(filled({ email: "nobody" }) as Record<string, string>, {
    referer: "https://a.example/shop/contact/?utm_source=letter",
  });
  assert.equal(refused.headers.get("location"), "/shop/contact/?utm_source=letter");
  assert.match(refused.headers.get("set-cookie") ?? "", /Path=\/shop\/contact;/);
});

test("a site that cannot keep a lead is not ready", async () => {
  const site = await siteBefore(gateway.url);
  const ready = await createHealthRoute({ settings: site.settings }).GET(new Request("http://site.example/"));
  assert.deepEqual([ready.status, await ready.json()], [200, { status: "ready" }]);
  const file = `${site.settings.queueFolder}-file`;
  await writeFile(file, "");
  const broken = await createHealthRoute({ settings: { ...site.settings, queueFolder: file } }).GET(
    new Request("http://site.example/"),
  );
  assert.deepEqual(
    [broken.status, await broken.json()],
    [503, { status: "not ready", writeError: "EEXIST" }],
  );
});

test("the default folder of the queue is outside the release", () => {
  const folder = (env: Record<string, string>) => readSettings(env).queueFolder;
  assert.equal(folder({ XDG_STATE_HOME: "/state" }), "/state/fastcore-site-queue/fastcore-site");
  assert.equal(folder({}), join(homedir(), ".local/state/fastcore-site-queue/fastcore-site"));
});

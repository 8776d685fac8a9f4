import assert from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, afterEach, before, mock, test } from "node:test";
import { checkSite, createContactRoute, openForm, thanksNotice } from "../src/index.js";
import { Queue } from "../src/queue.js";
import { accept, filled, Gateway, say, siteBefore } from "./gateway.js";

let gateway: Gateway;
before(async () => {
  gateway = await Gateway.start();
});
afterEach(() => {
  gateway.taken.length = 0;
  gateway.answer = accept;
});
after(() => gateway.stop());

const AWAY = "http://127.0.0.1:2"; // nothing listens on this port
const QUICK = { tryMs: 150, totalMs: 600 };

async function errorsOf(answer: Response): Promise<Record<string, string>> {
  const problem = (await answer.json()) as { errors: { field: string; message: string }[] };
  return Object.fromEntries(problem.errors.map((each) => [each.field, each.message]));
}

test("a visitor's message reaches the gateway with all that belongs to it", async () => {
  const consent = { text: "You may answer me.", version: "2026-01" };
  const site = await siteBefore(gateway.url, { consent });
  const sentAt = Date.now();
  const answer = await site.json(
    filled({
      consent: "on",
      phone: " ",
      budget: "10,000",
      utm_source: "newsletter",
      page_url: "https://a.example/contact",
    }),
    {
      "user-agent": "Mozilla/5.0",
      "accept-language": "de-CH,de;q=0.8",
      traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
    },
  );
  assert.equal(answer.status, 201);
  assert.deepEqual(await answer.json(), {
    status: "received",
    leadId: "019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e1f",
  });
  const [taken] = gateway.taken;
  assert.equal(taken?.headers.authorization, "Bearer ingest-token");
  assert.equal(taken?.headers.traceparent, `00-${"a".repeat(32)}-${"b".repeat(16)}-01`);
  assert.match(String(taken?.headers["idempotency-key"]), /^[\x21-\x7e]{1,255}$/);
  const { submitted_at, meta, ...rest } = taken?.body ?? {};
  assert.deepEqual(rest, {
    name: "Ada Lovelace",
    email: "ada@example.com",
    service: "Website",
    message: "Please call me.",
    budget: "10,000",
    consent: true,
    locale: "de-CH",
    source: { page_url: "https://a.example/contact", utm_source: "newsletter" },
  });
  assert.ok(Math.abs(Date.parse(String(submitted_at)) - sentAt) < 5000);
  const { form_rendered_at, fill_seconds, ...signals } = meta as Record<string, unknown>;
  assert.ok(form_rendered_at);
  assert.ok(Math.abs(Number(fill_seconds) - 60) < 5);
  assert.deepEqual(signals, {
    ip: "192.0.2.7",
    user_agent: "Mozilla/5.0",
    consent_text: "You may answer me.",
    consent_version: "2026-01",
  });
});

test("a form without JavaScript is thanked on a page of its own", async () => {
  const site = await siteBefore(gateway.url);
  const answer = await site.form(filled() as Record<string, string>, {
    referer: "https://a.example/contact?utm_source=letter&utm_campaign=spring",
  });
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get("location"), "/contact/thanks");
  assert.deepEqual(gateway.taken[0]?.body.source, {
    page_url: "https://a.example/contact?utm_source=letter&utm_campaign=spring",
    utm_source: "letter",
    utm_campaign: "spring",
  });
});

test("a form without JavaScript that is wrong comes back with errors and with what was typed", async () => {
  const site = await siteBefore(gateway.url);
  const message = "Bitte rufen Sie mich an! ".repeat(80);
  const sent = filled({ email: "nobody", message }) as Record<string, string>;
  const answer = await site.form(sent, { referer: "https://a.example/contact?utm_source=letter" });
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get("location"), "/contact?utm_source=letter");
  const cookie = answer.headers.get("set-cookie") ?? "";
  assert.match(cookie, /HttpOnly; SameSite=Lax/);
  const value = /fastcore_form=([^;]*)/.exec(cookie)?.[1] ?? "";
  assert.doesNotMatch(value, /nobody|Ada/);
  const shown = openForm({ get: () => ({ value }) });
  assert.deepEqual(shown.errors, { email: "Please enter an email address, such as name@example.com." });
  assert.equal(shown.values.message, message);
  assert.equal(shown.values.name, "Ada Lovelace");
  assert.equal(shown.renderedAt, sent.form_rendered_at);
  assert.equal(gateway.taken.length, 0);
});

test("a message that no cookie can carry comes back on a page of its own, whole", async () => {
  const site = await siteBefore(gateway.url);
  const message = Array.from({ length: 9000 }, () => String.fromCharCode(33 + Math.random() * 90)).join("");
  const answer = await site.form(filled({ email: "nobody", message }) as Record<string, string>);
  assert.equal(answer.status, 422);
  const page = await answer.text();
  const entities = (text: string) =>
    text.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
  assert.ok(entities(page).includes(`\n${message}</textarea>`));
  assert.match(page, /name="email" value="nobody" aria-invalid="true"/);
  assert.match(page, /type="hidden" name="form_key"/);
  assert.doesNotMatch(page, /style=|<script|<style/); // a strict CSP
});

test("a cookie that somebody made up is no form's state", () => {
  for (const value of ["", "x", "////", Buffer.from("[1]").toString("base64url")]) {
    assert.deepEqual(openForm({ get: () => ({ value }) }).errors, {});
  }
});

test("a lead needs a way to answer it and something to answer", async () => {
  const site = await siteBefore(gateway.url);
  const nothing = await site.json({ email: " ", phone: "-", name: "" });
  assert.deepEqual(await errorsOf(nothing), {
    email: "Please fill this in.",
    message: "Please fill this in.",
  });
  assert.equal((await site.json({ phone: "+44 20 7946 0000", message: "Call me" })).status, 201);
  assert.equal((await site.json({ email: "ada@example.com", budget: "10,000" })).status, 201);
});

test("what is wrong is said by field, before the gateway is asked", async () => {
  const site = await siteBefore(gateway.url, { consent: { text: "Yes", version: "1" } });
  const answer = await site.json({ email: "nobody", service: " ", message: "x".repeat(10_001) });
  assert.equal(answer.status, 422);
  assert.deepEqual(await errorsOf(answer), {
    email: "Please enter an email address, such as name@example.com.",
    message: "Please use at most 10,000 characters.",
    consent: "Please tick this, so that we may answer you.",
  });
  assert.equal(gateway.taken.length, 0);
});

test("what the gateway has against a visitor's field is shown beside it", async () => {
  gateway.answer = (response) =>
    say(response, 422, { errors: [{ field: "email", message: "must be an email address" }] });
  const site = await siteBefore(gateway.url);
  const answer = await site.json(filled());
  assert.equal(answer.status, 422);
  assert.deepEqual(await errorsOf(answer), { email: "Please check this: it must be an email address." });
  assert.deepEqual(await site.queued(), []);
  gateway.answer = accept;
  assert.equal((await site.json(filled())).status, 201); // the failure was not cached
});

for (const [what, status, body] of [
  ["is not JSON", 400, {}],
  ["is too large", 413, {}],
  ["has another type", 415, {}],
  [
    "has fields of ours that are wrong",
    422,
    { errors: [{ field: "source.page_url", message: "is not valid" }] },
  ],
] as const) {
  test(`a lead that ${what} to the gateway is kept for people, and the visitor thanked`, async () => {
    gateway.answer = (response) => say(response, status, body);
    const site = await siteBefore(gateway.url);
    assert.equal((await site.json(filled())).status, 202);
    assert.equal((await site.queued()).length, 1);
    assert.equal(gateway.taken.length, 1); // no retry
    assert.equal(site.lines[0]?.level, "error");
  });
}

for (const status of [401, 403, 404, 429, 500, 502, 503, 302]) {
  test(`a gateway that answers ${status} costs no lead`, async () => {
    gateway.answer = (response) => say(response, status, {});
    const site = await siteBefore(gateway.url);
    assert.equal((await site.json(filled())).status, 202);
    assert.equal((await site.queued()).length, 1);
    assert.equal(gateway.taken.length, status >= 500 ? 2 : 1);
    assert.equal(site.lines[0]?.facts.reason, `gateway ${status}`);
  });
}

test("a gateway that is not there, or not configured, costs no lead", async () => {
  for (const [url, reason] of [
    [AWAY, "ECONNREFUSED"],
    ["", "FASTCORE_URL is not set"],
  ] as const) {
    const site = await siteBefore(url);
    assert.equal((await site.json(filled())).status, 202);
    assert.equal((await site.queued()).length, 1);
    assert.equal(site.lines[0]?.facts.reason, reason);
  }
});

test("a gateway that does not answer is waited for within the budget, not longer", async () => {
  gateway.answer = () => undefined;
  const site = await siteBefore(gateway.url, { budget: QUICK });
  const started = performance.now();
  assert.equal((await site.json(filled())).status, 202);
  assert.ok(performance.now() - started < 2000);
  assert.equal((await site.queued()).length, 1);
  assert.equal(gateway.taken.length, 2);
  assert.equal(site.lines[0]?.facts.reason, "timeout");
});

test("regression: what is left of the budget after a first try that was slow is used for a second one", async () => {
  gateway.answer = (response) => {
    if (gateway.taken.length > 1) accept(response);
  };
  const site = await siteBefore(gateway.url, { budget: { tryMs: 1000, totalMs: 2200 } });
  assert.equal((await site.json(filled())).status, 201);
  assert.equal(gateway.taken.length, 2);
  const keys = gateway.taken.map((each) => each.headers["idempotency-key"]);
  assert.equal(keys[0], keys[1]);
});

test("an answer that breaks off in its middle is no answer", async () => {
  gateway.answer = (response) => {
    response.writeHead(201, { "content-length": "500" }).write("{");
    setTimeout(() => response.destroy(), 20);
  };
  const site = await siteBefore(gateway.url, { budget: QUICK });
  assert.equal((await site.json(filled())).status, 202);
  assert.equal((await site.queued()).length, 1);
});

test("a double click and a reload are one lead; a corrected message and another visitor's are not", async () => {
  const site = await siteBefore(gateway.url);
  const other = await siteBefore(gateway.url); // another process of the same site
  const answers = await Promise.all([
    site.json(filled()),
    site.json(filled()),
    site.form(filled() as Record<string, string>),
  ]);
  assert.deepEqual(
    answers.map((each) => each.status),
    [201, 201, 303],
  );
  assert.equal(gateway.taken.length, 1);
  await other.json(filled());
  await site.json(filled({ message: "Please write to me." }));
  await site.json(filled({ name: "Charles Babbage" })); // a cache showed the same form to this visitor
  const keys = gateway.taken.map((each) => each.headers["idempotency-key"]);
  assert.equal(keys[0], keys[1]);
  assert.equal(new Set(keys).size, 3);
});

test("a key that the gateway knows from before is a lead that it has", async () => {
  gateway.answer = (response) => say(response, 422, { type: "urn:fastcore:problem:key-reused" });
  const site = await siteBefore(gateway.url);
  assert.equal((await site.json(filled())).status, 201);
  assert.deepEqual(await site.queued(), []);
});

test("a bot that fills the honeypot is thanked, and the gateway told", async () => {
  const site = await siteBefore(gateway.url);
  assert.equal((await site.json(filled({ homepage_url: "https://spam.example" }))).status, 201);
  assert.equal(Object(gateway.taken[0]?.body.meta).honeypot, "https://spam.example");
  assert.equal(gateway.taken[0]?.body.homepage_url, undefined);
});

test("fifty posts from one address: the first are taken, the others told to wait; other visitors are not", async () => {
  const site = await siteBefore(gateway.url);
  const statuses: number[] = [];
  for (let n = 0; n < 50; n += 1) statuses.push((await site.json(filled({ message: `number ${n}` }))).status);
  assert.deepEqual([...new Set(statuses)], [201, 429]);
  assert.equal(statuses.filter((each) => each === 201).length, 20);
  assert.equal(gateway.taken.length, 20);
  const refused = await site.json(filled());
  assert.ok(Number(refused.headers.get("retry-after")) > 500);
  assert.equal((await site.json(filled(), { "x-forwarded-for": "192.0.2.8" })).status, 201);
  // The client can forge the addresses to the left of the proxy's own.
  assert.equal((await site.json(filled(), { "x-forwarded-for": "192.0.2.99, 192.0.2.7" })).status, 429);
});

test("with neither FASTCore nor the queue the visitor is told the truth, and may try again", async () => {
  const full = await siteBefore(AWAY, { queueBounds: { entries: 1, bytes: 1_000_000 } });
  assert.equal((await full.json(filled())).status, 202);
  const refused = await full.json(filled({ message: "the second" }));
  assert.equal(refused.status, 503);
  assert.match(((await refused.json()) as { detail: string }).detail, /have not kept it/);
  assert.equal(full.lines.at(-1)?.facts.queue, "full");

  const broken = await siteBefore(AWAY);
  await mkdir(dirname(broken.settings.queueFolder), { recursive: true });
  await writeFile(broken.settings.queueFolder, "a file stands where the folder should");
  assert.equal((await broken.json(filled())).status, 503);
  await chmod(broken.settings.queueFolder, 0o600);
  const plain = await broken.form(filled({ message: "third" }) as Record<string, string>);
  assert.equal(plain.headers.get("location"), "/contact");
});

test("what cannot be read is refused in plain words", async () => {
  const site = await siteBefore(gateway.url);
  const post = (body: string, type: string) =>
    site.POST(
      new Request("http://site.example/", { method: "POST", headers: { "content-type": type }, body }),
    );
  assert.equal((await post("{", "application/json")).status, 400);
  assert.equal((await post("[]", "application/json")).status, 400);
  assert.equal((await post("hello", "text/plain")).status, 415);
  assert.equal((await post(`{"a":"${"x".repeat(900_000)}"}`, "application/json")).status, 413);
  assert.equal((await site.json(filled({ extra: "x".repeat(270_000) }))).status, 413);
  assert.equal(gateway.taken.length, 0);
});

test("what no database holds is left out, not refused", async () => {
  const site = await siteBefore(gateway.url);
  await site.json(filled({ name: "A\0da \uD800", extra: { deep: ["\0x"] } }));
  assert.equal(gateway.taken[0]?.body.name, "Ada \uFFFD");
  assert.deepEqual(gateway.taken[0]?.body.extra, { deep: ["x"] });
});

test("nothing that a visitor typed, nor who it was, is in the log", async () => {
  const site = await siteBefore(AWAY);
  await site.json(filled({ consent: "on" }), { "user-agent": "Visitor/1" });
  await site.json(filled({ email: "nobody" }));
  assert.doesNotMatch(JSON.stringify(site.lines), /Ada|ada@|call me|192\.0\.2|Visitor/);
});

function inParts(fields: Record<string, unknown>, ...files: [string, Blob, string][]): Request {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  for (const [name, file, fileName] of files) form.append(name, file, fileName);
  return new Request("http://site.example/", { method: "POST", body: form });
}

test("regression: a lead with files is taken without them, and lead and visitor are told", async () => {
  const site = await siteBefore(gateway.url);
  const large = new Blob([new Uint8Array(6 * 1024 * 1024)]);
  const request = inParts(filled(), ["plan", large, "plan.pdf"], ["photo", new Blob(["x"]), "a/b photo.jpg"]);
  const answer = await site.POST(request);
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get("location"), "/contact/thanks?notice=files-not-stored");
  assert.equal(gateway.taken[0]?.body.plan, "plan.pdf");
  assert.equal(gateway.taken[0]?.body.files_not_stored, "plan.pdf, b photo.jpg");
  assert.match(thanksNotice({ notice: "files-not-stored" }), /without its files/);
  assert.equal(thanksNotice({ notice: "<b>" }), "");
  // The client side sends only the names.
  const scripted = await site.json(filled({ plan: "plan.pdf", files_not_sent: ["plan.pdf"] }));
  assert.equal(scripted.status, 201);
  assert.match(((await scripted.json()) as { notice: string }).notice, /without its files/);
  assert.equal(gateway.taken[1]?.body.files_not_stored, "plan.pdf");
  assert.equal(gateway.taken[1]?.body.files_not_sent, undefined);
});

test("a form in several parts is read as one, and a file that the visitor did not choose is none", async () => {
  const site = await siteBefore(gateway.url);
  const form = new FormData();
  for (const [name, value] of Object.entries(filled({ name: "Zoë 👋" }))) form.append(name, String(value));
  form.append("topics", "one");
  form.append("topics", "two");
  form.append("plan", new Blob([]), "");
  const answer = await site.POST(new Request("http://site.example/", { method: "POST", body: form }));
  assert.equal(answer.headers.get("location"), "/contact/thanks");
  assert.deepEqual(gateway.taken[0]?.body.topics, ["one", "two"]);
  assert.equal(gateway.taken[0]?.body.name, "Zoë 👋");
  assert.equal(gateway.taken[0]?.body.files_not_stored, undefined);
});

test("a form in several parts that breaks off is refused, not taken in part", async () => {
  const site = await siteBefore(gateway.url);
  const whole = inParts(filled(), ["plan", new Blob(["x".repeat(1000)]), "plan.pdf"]);
  const headers = { "content-type": whole.headers.get("content-type") ?? "" };
  const bytes = await whole.bytes();
  for (let length = 0; length < bytes.length - 4; length += 7) {
    const body = bytes.subarray(0, length);
    const answer = await site.POST(new Request("http://site.example/", { method: "POST", headers, body }));
    assert.equal(answer.headers.get("location"), "/contact", `cut to ${length} bytes`);
  }
  assert.equal(gateway.taken.length, 0);
});

const HOSTILE = {
  "names in a form": ["application/x-www-form-urlencoded", (n: number) => `f${n}=&`, 300_000],
  "the same name in a form": ["application/x-www-form-urlencoded", () => "a=b&", 300_000],
  "a thousand names in a form": ["application/x-www-form-urlencoded", (n: number) => `f${n}=x&`, 990],
  "a thousand long answers": [
    "application/x-www-form-urlencoded",
    (n: number) => `f${n}=${"x%22".repeat(90)}&`,
    990,
  ],
  parts: [
    "multipart/form-data; boundary=b",
    (n: number) => `--b\r\nContent-Disposition: form-data; name="f${n}"\r\n\r\n\r\n`,
    20_000,
  ],
  blanks: ["application/x-www-form-urlencoded", (n: number) => (n ? "+" : "message=x"), 700_000],
  "an address of dots": [
    "application/x-www-form-urlencoded",
    (n: number) => (n ? "a." : "email=a@"),
    300_000,
  ],
} as const;

for (const [what, [type, part, count]] of Object.entries(HOSTILE)) {
  test(`regression: a post of ${what} does not hold up the site's process`, async () => {
    const site = await siteBefore(gateway.url);
    const body = Array.from({ length: count }, (_, n) => part(n))
      .join("")
      .slice(0, 799_000);
    const started = performance.now();
    const answer = await site.POST(
      new Request("http://site.example/", { method: "POST", headers: { "content-type": type }, body }),
    );
    const seconds = (performance.now() - started) / 1000;
    assert.ok([303, 422].includes(answer.status));
    assert.ok((answer.headers.get("set-cookie") ?? "").length < 4096);
    assert.ok((await answer.text()).length < 6_000_000);
    assert.ok(seconds < 2, `took ${seconds} s`);
    assert.equal(gateway.taken.length, 0);
  });
}

test("regression: whoever posts too often is refused before the body is read", async () => {
  const site = await siteBefore(gateway.url, { limit: { posts: 2, seconds: 600 } });
  const post = (more: Record<string, string> = {}) => {
    let pulled = 0;
    const body = new ReadableStream(
      {
        pull(stream) {
          pulled += 1;
          stream.enqueue(new TextEncoder().encode("name=a&"));
          if (pulled === 50) stream.close();
        },
      },
      { highWaterMark: 0 },
    );
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      accept: "application/json",
      "x-forwarded-for": "192.0.2.7",
      ...more,
    };
    const request = new Request("http://site.example/", {
      method: "POST",
      headers,
      body,
      duplex: "half",
    } as RequestInit);
    return site.POST(request).then((answer) => [answer.status, pulled]);
  };
  assert.deepEqual(await post(), [422, 50]);
  assert.deepEqual(await post(), [422, 50]);
  assert.deepEqual(await post(), [429, 0]);
  const elsewhere = { "sec-fetch-site": "cross-site" };
  const statuses = [];
  for (let n = 0; n < 8; n += 1) statuses.push((await post(elsewhere))[0]);
  assert.deepEqual(statuses, [403, 403, 403, 403, 403, 403, 429, 429]);
});

test("regression: a clock outside what a file's name can say hides no lead", async () => {
  const site = await siteBefore(AWAY);
  for (const now of [1, 8_000_000_000_000_000]) {
    mock.timers.enable({ apis: ["Date"], now });
    try {
      assert.equal((await site.json(filled({ message: `at ${now}` }))).status, 202);
    } finally {
      mock.timers.reset();
    }
  }
  const { entries } = await new Queue(site.settings.queueFolder).page(10);
  assert.equal(entries.length, 2);
});

test("regression: a queued lead that the disk has damaged since does not count as safe", async () => {
  const site = await siteBefore(AWAY);
  assert.equal((await site.json(filled())).status, 202);
  const [file] = await site.queued();
  await writeFile(join(site.settings.queueFolder, file ?? ""), "torn");
  const other = await siteBefore(AWAY, { settings: { queueFolder: site.settings.queueFolder } });
  assert.equal((await other.json(filled())).status, 202);
  const { entries } = await new Queue(site.settings.queueFolder).page(10);
  assert.equal(entries.length, 1);
});

test("a consent text that the gateway would refuse with each lead is refused when the route is made", () => {
  assert.throws(
    () => createContactRoute({ consent: { text: "x".repeat(2001), version: "1" } }),
    /consent.text has 2001 characters; the limit is 2000/,
  );
});

test("a site without settings or with a queue that it cannot write says so at its start", async () => {
  const lines: string[] = [];
  const log = (_: string, message: string) => lines.push(message);
  const settings = { url: "", ingestToken: "", queueToken: "", queueFolder: "/sys/fastcore-queue" };
  const problems = await checkSite({ settings, log });
  assert.deepEqual(lines, problems);
  assert.deepEqual(
    problems.map((each) => each.split(" ")[0]),
    ["FASTCORE_URL", "FASTCORE_SITE_INGEST_TOKEN", "FASTCORE_SITE_QUEUE_TOKEN", "The"],
  );
  const site = await siteBefore(gateway.url);
  assert.deepEqual(await checkSite({ settings: site.settings }), []);
});

test("regression: what no reader of the queue could read is refused, and holds up no other lead", async () => {
  const site = await siteBefore(AWAY);
  for (const levels of [17, 250, 5000, 50_000]) {
    const deep = "[".repeat(levels) + "]".repeat(levels);
    const body = `${JSON.stringify(filled()).slice(0, -1)},"extra":${deep}}`;
    const headers = { "content-type": "application/json" };
    const answer = await site.POST(new Request("http://site.example/", { method: "POST", headers, body }));
    assert.equal(answer.status, 400);
  }
  assert.deepEqual(await site.queued(), []);
  assert.equal((await site.json(filled({ extra: { a: [[1]] } }))).status, 202);
});

test("regression: lines that the browser ends with two characters are as long as the visitor was told", async () => {
  const site = await siteBefore(gateway.url);
  const message = `${"x".repeat(99)}\r\n`.repeat(99) + "👋".repeat(100); // 10,000 characters
  assert.equal((await site.form(filled({ message }) as Record<string, string>)).status, 303);
  assert.equal(gateway.taken[0]?.body.message, message.replaceAll("\r\n", "\n"));
});

test("regression: another server's 201 is not FASTCore's word", async () => {
  gateway.answer = (response) => say(response, 201, { ok: true });
  const site = await siteBefore(gateway.url);
  assert.equal((await site.json(filled())).status, 202);
  assert.equal((await site.queued()).length, 1);
  assert.equal(site.lines[0]?.facts.reason, "not FASTCore");
});

test("regression: a lead sent again while it waits stays as it is, also by another process of the site", async () => {
  const site = await siteBefore(AWAY);
  assert.equal((await site.json(filled())).status, 202);
  const other = await siteBefore(gateway.url, { settings: { queueFolder: site.settings.queueFolder } });
  assert.equal((await other.json(filled())).status, 202);
  assert.equal(gateway.taken.length, 0); // its time differs, so it would be another lead under the same key
  assert.equal((await site.queued()).length, 1);
});

test("regression: another website's page cannot make a visitor's browser send", async () => {
  const site = await siteBefore(gateway.url);
  const from = (where: string) => ({ "sec-fetch-site": where });
  for (let n = 0; n < 30; n += 1) {
    const answer = await site.form(filled() as Record<string, string>, from("cross-site"));
    assert.equal(answer.status, 303);
    assert.equal(answer.headers.get("location"), "/contact");
    const value = /=([^;]*)/.exec(answer.headers.get("set-cookie") ?? "")?.[1] ?? "";
    assert.equal(openForm({ get: () => ({ value }) }).values.message, "Please call me.");
  }
  assert.equal((await site.json(filled(), from("cross-site"))).status, 403);
  assert.equal(gateway.taken.length, 0);
  // The refused posts do not count against the visitor's limit.
  for (const where of ["same-origin", "same-site", "none"]) {
    assert.equal((await site.json(filled(), from(where))).status, 201);
  }
});

test("regression: a clock that is set gives nobody more posts, and takes none away", async () => {
  const site = await siteBefore(gateway.url, { limit: { posts: 1, seconds: 600 } });
  assert.equal((await site.json(filled())).status, 201);
  mock.timers.enable({ apis: ["Date"], now: Date.now() + 3_600_000 });
  try {
    assert.equal((await site.json(filled())).status, 429);
  } finally {
    mock.timers.reset();
  }
});

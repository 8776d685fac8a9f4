import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createQueueRoutes, type SiteQueueEntry } from "../src/index.js";
import { type Bounds, Queue, type QueuedLead, QueueFull } from "../src/queue.js";

const AT = Date.parse("2026-01-01T00:00:00Z");

function lead(n: number): QueuedLead {
  return {
    key: `key-${n}`,
    at: new Date(AT + n * 1000),
    traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
    body: { name: "Ada", email: `ada${n}@example.com`, service: "Website", message: "Grüße 👋" },
  };
}

async function newQueue(bounds?: Bounds) {
  const folder = join(await mkdtemp(join(tmpdir(), "queue-")), "queue");
  const lines: string[] = [];
  return { folder, lines, queue: new Queue(folder, bounds, (_, message) => lines.push(message)) };
}

test("what was kept is listed, oldest first, and gone once it is removed", async () => {
  const { queue } = await newQueue();
  assert.deepEqual(await queue.page(100), { entries: [], depth: 0 });
  for (const n of [3, 1, 2]) await queue.append(lead(n));
  const page = await queue.page(2);
  const entries = page.entries as SiteQueueEntry[];
  assert.deepEqual(
    entries.map((each) => each.idempotencyKey),
    ["key-1", "key-2"],
  );
  assert.equal(page.depth, 3);
  assert.equal(page.oldestQueuedAt, "2026-01-01T00:00:01.000Z");
  const [first] = entries;
  assert.match(first?.id ?? "", /^[A-Za-z0-9_-]{1,100}$/);
  assert.deepEqual(first, {
    id: first?.id,
    idempotencyKey: "key-1",
    queuedAt: "2026-01-01T00:00:01.000Z",
    traceparent: lead(1).traceparent,
    body: lead(1).body,
  });
  assert.equal(await queue.remove(first?.id ?? ""), true);
  assert.equal(await queue.remove(first?.id ?? ""), false);
  assert.equal((await queue.page(100)).depth, 2);
});

test("one key is one entry, and stays as it was first", async () => {
  const { queue } = await newQueue();
  const ids = await Promise.all([1, 2, 3].map((n) => queue.append({ ...lead(1), at: new Date(AT + n) })));
  assert.equal(new Set(ids).size, 1);
  assert.equal((await queue.page(100)).depth, 1);
});

test("the queue is bounded in entries and in bytes", async () => {
  const few = await newQueue({ entries: 2, bytes: 1_000_000 });
  await few.queue.append(lead(1));
  await few.queue.append(lead(2));
  await assert.rejects(few.queue.append(lead(3)), QueueFull);
  await few.queue.append(lead(2)); // an entry with this key exists
  const small = await newQueue({ entries: 100, bytes: 400 });
  await small.queue.append(lead(1));
  await assert.rejects(small.queue.append(lead(2)), QueueFull);
  assert.equal((await small.queue.page(100)).depth, 1);
});

test("a bound holds for many at once", async () => {
  const { queue } = await newQueue({ entries: 10, bytes: 1_000_000 });
  const ends = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => queue.append(lead(n))));
  assert.equal(ends.filter((each) => each.status === "fulfilled").length, 10);
  assert.equal((await queue.page(100)).depth, 10);
});

test("a damaged file is set aside and reported, and the others are served", async () => {
  const { queue, folder, lines } = await newQueue();
  const [torn, flipped] = [await queue.append(lead(1)), await queue.append(lead(2))];
  await queue.append(lead(3));
  const path = join(folder, `${torn}.json`);
  await writeFile(path, (await readFile(path)).subarray(0, 150));
  const bytes = await readFile(join(folder, `${flipped}.json`));
  bytes[bytes.length - 10] = (bytes[bytes.length - 10] ?? 0) ^ 1;
  await writeFile(join(folder, `${flipped}.json`), bytes);
  const page = await queue.page(100);
  assert.deepEqual(
    (page.entries as SiteQueueEntry[]).map((each) => each.idempotencyKey),
    ["key-3"],
  );
  assert.equal(page.depth, 1);
  assert.equal((page as { damaged?: number }).damaged, 2);
  assert.equal(lines.length, 2);
  assert.equal((await readdir(folder)).filter((each) => each.endsWith(".damaged")).length, 2); // for a person to inspect
  await writeFile(join(folder, "notes.txt"), "not ours");
  assert.equal((await queue.page(100)).depth, 1);
});

test("what a process had written when it died is brought in, and a torn piece of it is not", async () => {
  const { queue, folder } = await newQueue();
  const id = await queue.append(lead(1));
  const whole = await readFile(join(folder, `${id}.json`));
  const names = [1, 2, 3].map((n) => `${String(AT + n).padStart(15, "0")}-${String(n).repeat(32)}-300.tmp`);
  await writeFile(join(folder, names[0] ?? ""), whole);
  await writeFile(join(folder, names[1] ?? ""), whole.subarray(0, 99));
  await writeFile(join(folder, names[2] ?? ""), whole); // another process is writing it
  const hourAgo = Date.now() / 1000 - 3600;
  const check = join(folder, ".write-check-0a1b2c3d"); // left by a process that died during the check
  await writeFile(check, "");
  await utimes(check, hourAgo, hourAgo);
  for (const name of names.slice(0, 2)) await utimes(join(folder, name), hourAgo, hourAgo);
  assert.equal((await queue.page(100)).depth, 2);
  assert.deepEqual((await readdir(folder)).map((each) => each.slice(each.indexOf("."))).sort(), [
    ".damaged",
    ".json",
    ".json",
    ".tmp",
  ]);
});

test("after kill -9 at any moment every lead that was said to be safe is there, whole", async () => {
  const { queue, folder, lines } = await newQueue();
  const said = new Set<string>();
  for (let round = 0; round < 5; round += 1) {
    const writer = spawn(process.execPath, [
      fileURLToPath(new URL("writer.js", import.meta.url)),
      folder,
      String(round),
    ]);
    let text = "";
    let alive = true;
    const killed = new Promise<void>((done) => {
      writer.stdout.on("data", (piece) => {
        text += piece;
        if (text.split("\n").length > 20 + round * 7) writer.kill("SIGKILL");
      });
      writer.on("close", () => {
        alive = false;
        done();
      });
    });
    // A concurrent reader sees the same files that a crash at that moment would leave.
    while (alive) await queue.page(100);
    await killed;
    for (const key of text.split("\n").slice(0, -1)) said.add(key);
  }
  assert.ok(said.size >= 100);
  const found = new Set<string>();
  for (;;) {
    const entries = (await queue.page(100)).entries as SiteQueueEntry[];
    if (!entries.length) break;
    for (const entry of entries) {
      found.add(entry.idempotencyKey);
      await queue.remove(entry.id);
    }
  }
  assert.deepEqual(
    [...said].filter((key) => !found.has(key)),
    [],
  );
  assert.deepEqual(lines, []); // no torn file was found
});

test("the queue's routes serve whoever has its token, and nobody else", async () => {
  const { queue, folder } = await newQueue();
  const id = await queue.append(lead(1));
  const settings = { queueFolder: folder, queueToken: "queue-token" };
  const { GET, DELETE } = createQueueRoutes({ settings });
  const ask = (token: string, query = "") =>
    new Request(`http://site.example/api/contact/queue${query}`, { headers: { authorization: token } });
  const params = Promise.resolve({ id });
  for (const token of ["", "Bearer", "Bearer other", "queue-token", "Bearer queue-token "]) {
    const wanted = token.trim() === "Bearer queue-token" ? 200 : 401;
    assert.equal((await GET(ask(token))).status, wanted, token);
  }
  assert.equal((await DELETE(ask("Bearer other"), { params })).status, 401);
  const page = await GET(ask("Bearer queue-token", "?limit=1"));
  assert.equal(page.status, 200);
  assert.equal(page.headers.get("cache-control"), "no-store");
  assert.equal(((await page.json()) as { depth: number }).depth, 1);
  assert.equal((await GET(ask("Bearer queue-token", "?limit=0"))).status, 400);
  assert.equal((await GET(ask("Bearer queue-token", "?limit=x"))).status, 400);
  for (const wrong of ["..", "../../etc/passwd", "%2e%2e", "x"]) {
    const answer = await DELETE(ask("Bearer queue-token"), { params: Promise.resolve({ id: wrong }) });
    assert.equal(answer.status, 404, wrong);
  }
  assert.equal((await DELETE(ask("Bearer queue-token"), { params })).status, 204);
  assert.equal((await DELETE(ask("Bearer queue-token"), { params })).status, 404);
});

test("regression: a queue that cannot be written does not look healthy", async () => {
  const settings = { queueToken: "queue-token" };
  const ask = new Request("http://site.example/", { headers: { authorization: "Bearer queue-token" } });
  const pageOf = async (folder: string, bounds?: Bounds) => {
    const log = (_: string, message: string) => lines.push(message);
    const lines: string[] = [];
    const { GET } = createQueueRoutes({
      log,
      settings: { ...settings, queueFolder: folder },
      ...(bounds ? { queueBounds: bounds } : {}),
    });
    const answer = await GET(ask);
    return { page: (await answer.json()) as { depth: number; writeError?: string }, lines };
  };
  const broken = await pageOf("/sys/fastcore-queue");
  assert.equal(broken.page.depth, 0);
  assert.match(broken.page.writeError ?? "", /^E[A-Z]+$/);
  assert.deepEqual(broken.lines, ["The queue cannot be written"]);
  const { folder, queue } = await newQueue();
  await queue.append(lead(1));
  assert.deepEqual((await pageOf(folder, { entries: 1, bytes: 1_000_000 })).page.writeError, "full");
  const healthy = await pageOf(folder);
  assert.deepEqual([healthy.page.depth, healthy.page.writeError, healthy.lines], [1, undefined, []]);
  assert.equal((await readdir(folder)).length, 1); // the check leaves no file
});

test("a page of large entries stays within what the flusher reads", async () => {
  const { queue } = await newQueue();
  for (let n = 0; n < 40; n += 1) {
    const one = lead(n);
    await queue.append({ ...one, body: { ...one.body, essay: "x".repeat(250 * 1024) } });
  }
  const { entries, depth } = await queue.page(100);
  assert.equal(depth, 40);
  assert.ok(entries.length >= 30);
  assert.ok(JSON.stringify(entries).length <= 8 * 1024 * 1024 + 20_000);
});

test("without a token the queue is closed, not open", async () => {
  const { GET } = createQueueRoutes({ settings: { queueToken: "" } });
  const answer = await GET(new Request("http://site.example/", { headers: { authorization: "Bearer " } }));
  assert.equal(answer.status, 503);
  assert.match(await answer.text(), /FASTCORE_SITE_QUEUE_TOKEN/);
});

test("regression: two processes that keep the same lead at once do not write into each other's file", async () => {
  const { folder, queue } = await newQueue();
  const id = await queue.append(lead(1));
  await rm(join(folder, `${id}.json`));
  const theirs = join(folder, `${id}.tmp`); // between the fsync and the rename of another process
  await writeFile(theirs, "theirs");
  assert.equal(await queue.append(lead(1)), id);
  assert.equal(await readFile(theirs, "utf8"), "theirs");
  assert.deepEqual((await readdir(folder)).sort(), [`${id}.json`, `${id}.tmp`]);
});

test("two processes on one folder keep every lead that they said was safe", async () => {
  const { folder, queue, lines } = await newQueue();
  const said = new Set<string>();
  await Promise.all(
    [0, 1].map(async () => {
      const path = fileURLToPath(new URL("writer.js", import.meta.url));
      const writer = spawn(process.execPath, [path, folder, "same"]);
      let text = "";
      writer.stdout.on("data", (piece) => {
        text += piece;
        if (text.split("\n").length > 40) writer.kill("SIGKILL");
      });
      await new Promise((done) => writer.on("close", done));
      for (const key of text.split("\n").slice(0, -1)) said.add(key);
    }),
  );
  for (const key of said) assert.equal(await queue.has(key), true, key);
  assert.deepEqual(lines, []);
});

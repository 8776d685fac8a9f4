/**
 * The site's queue on disk: one file for each lead, written atomically. This module uses no HTTP.
 *
 * A file's name contains the time, a digest of the idempotency key and the size in bytes. So the queue counts its
 * entries and checks its limits without opening a file. The first line of a file is the SHA-256 of the rest. A file
 * with a wrong checksum was damaged on disk: it is renamed to `.damaged` and not sent.
 */

import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { LeadSubmission, SiteQueueEntry, SiteQueuePage } from "./contract.js";
import { codeOf, type Log, log } from "./log.js";

/** The queue is full. The visitor must be asked to send the message again later. */
export class QueueFull extends Error {
  override readonly name = "QueueFull";
}

export interface Bounds {
  readonly entries: number;
  readonly bytes: number;
}

export interface QueuedLead {
  readonly key: string;
  readonly at: Date;
  readonly traceparent: string;
  readonly body: LeadSubmission;
}

const LEAD_BYTES = 1024;
// The write check writes a file of this size, so that it fails as soon as the largest lead would.
const LARGEST_LEAD_BYTES = 300 * 1024;
// Enough for days of leads, and small for a disk.
const BOUNDS: Bounds = { entries: 10_000, bytes: 100 * 1024 * 1024 };
const NAME = /^(\d{15})-([0-9a-f]{32})-(\d{1,9})$/;
// The flusher refuses a larger page. It requests further pages for the remaining entries.
const PAGE_MAX_BYTES = 8 * 1024 * 1024;
// The latest time that a file name can hold. A later clock is limited to it, so that no lead is hidden.
const LATEST_MS = 999_999_999_999_999;
const READY = ".json";
const TEMPORARY = ".tmp";
const DAMAGED = ".damaged";
const WRITE_CHECK = ".write-check-";
// No write takes this long, so an older temporary file belongs to a process that has died.
const ABANDONED_MS = 60_000;

interface Name {
  readonly id: string;
  readonly at: Date;
  readonly digest: string;
  readonly bytes: number;
}

export class Queue {
  readonly #folder: string;
  readonly #bounds: Bounds;
  readonly #log: Log;
  #lastAppend: Promise<unknown> = Promise.resolve();

  constructor(folder: string, bounds: Bounds = BOUNDS, to: Log = log) {
    this.#folder = resolve(folder);
    this.#bounds = bounds;
    this.#log = to;
  }

  /**
   * Store a lead, and return the id of its entry. The file is fsynced, so it survives a power failure.
   *
   * If the queue already has an entry with this key, that entry stays unchanged and its id is returned. Throws
   * `QueueFull`, and the errors of the file system.
   */
  async append(lead: QueuedLead): Promise<string> {
    const appended = this.#lastAppend.then(() => this.#append(lead));
    this.#lastAppend = appended.catch(() => undefined); // one at a time, so that limits and keys are checked reliably
    return appended;
  }

  /** Return true if the queue has an undamaged entry with this idempotency key. */
  async has(key: string): Promise<boolean> {
    return (await this.#find(digestOf(key), (await this.#list()).ready)) !== undefined;
  }

  /** Return why a lead cannot be written now, as a code such as `EACCES` or `full`; undefined if it can. */
  async writeError(): Promise<string | undefined> {
    try {
      await makeFolder(this.#folder);
      const { files, bytes } = await this.#list();
      if (files >= this.#bounds.entries || bytes + LEAD_BYTES > this.#bounds.bytes) return "full";
      // Write a file instead of checking permissions, which do not show a full, read-only or failing disk.
      const path = join(this.#folder, WRITE_CHECK + randomBytes(4).toString("hex"));
      await writeAndSync(path, Buffer.alloc(LARGEST_LEAD_BYTES));
      await unlink(path);
      return undefined;
    } catch (error) {
      return codeOf(error);
    }
  }

  /** Return at most `limit` entries, oldest first, with the total number of entries and the queue's state. */
  async page(limit: number): Promise<SiteQueuePage> {
    await this.#adopt();
    const names = (await this.#list()).ready;
    const entries: SiteQueueEntry[] = [];
    let bytes = 0;
    for (const name of names) {
      bytes += name.bytes;
      if (entries.length === limit || (entries.length && bytes > PAGE_MAX_BYTES)) break;
      const entry = await this.#read(name);
      if (entry) entries.push(entry);
    }
    const { ready, damaged } = await this.#list();
    const oldest = ready[0];
    const writeError = await this.writeError();
    return {
      entries,
      depth: ready.length,
      ...(oldest ? { oldestQueuedAt: oldest.at.toISOString() } : {}),
      ...(damaged ? { damaged } : {}),
      ...(writeError ? { writeError } : {}),
    };
  }

  /**
   * Delete an entry. Return false if the queue has no entry `id`.
   *
   * The deletion is not fsynced. If a crash restores the entry, it is sent again under the same idempotency key, and
   * FASTCore ignores the duplicate.
   */
  async remove(id: string): Promise<boolean> {
    if (!NAME.test(id)) return false;
    try {
      await unlink(join(this.#folder, id + READY));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async #append(lead: QueuedLead): Promise<string> {
    await makeFolder(this.#folder);
    const digest = digestOf(lead.key);
    const { ready, files, bytes } = await this.#list();
    const known = await this.#find(digest, ready);
    if (known) {
      await syncFolder(this.#folder); // the process that wrote the entry may not have done so
      return known.id;
    }
    const at = new Date(Math.min(Math.max(lead.at.getTime(), 0), LATEST_MS));
    const text = Buffer.from(
      JSON.stringify({
        idempotencyKey: lead.key,
        queuedAt: at.toISOString(),
        traceparent: lead.traceparent,
        body: lead.body,
      }),
    );
    if (files >= this.#bounds.entries || bytes + text.length > this.#bounds.bytes) throw new QueueFull();
    const id = `${String(at.getTime()).padStart(15, "0")}-${digest}-${text.length}`;
    const path = join(this.#folder, id);
    // A random name, because another process may write the same lead in the same millisecond.
    const temporary = `${path}.${randomBytes(4).toString("hex")}${TEMPORARY}`;
    await writeAndSync(temporary, Buffer.concat([Buffer.from(`${sha256(text)}\n`), text]));
    await rename(temporary, path + READY);
    await syncFolder(this.#folder);
    return id;
  }

  /** Return the undamaged entry with this digest of a key, or undefined. Renames damaged entries to `.damaged`. */
  async #find(digest: string, ready: readonly Name[]): Promise<Name | undefined> {
    for (const name of ready) {
      if (name.digest === digest && (await this.#read(name))) return name;
    }
    return undefined;
  }

  async #list(): Promise<{ ready: Name[]; files: number; bytes: number; damaged: number }> {
    let files: string[];
    try {
      files = await readdir(this.#folder);
    } catch (error) {
      if (!isMissing(error)) throw error;
      files = []; // the folder does not exist before the first lead
    }
    const names = files.flatMap((file) => parse(file) ?? []);
    return {
      ready: files
        .filter((file) => file.endsWith(READY))
        .flatMap((file) => parse(file) ?? [])
        .sort((a, b) => (a.id < b.id ? -1 : 1)),
      files: names.length,
      bytes: names.reduce((sum, each) => sum + each.bytes, 0),
      damaged: files.filter((file) => file.endsWith(DAMAGED)).length,
    };
  }

  async #read(name: Name): Promise<SiteQueueEntry | undefined> {
    const path = join(this.#folder, name.id);
    let whole: Buffer;
    try {
      whole = await readFile(path + READY);
    } catch (error) {
      if (isMissing(error)) return undefined; // another process has removed it
      throw error;
    }
    const text = verifiedContent(whole);
    if (text) return { id: name.id, ...JSON.parse(text.toString("utf8")) };
    await rename(path + READY, path + DAMAGED);
    this.#log("error", "A queued lead is damaged on disk and was set aside", { file: name.id + DAMAGED });
    return undefined;
  }

  /** Adopt the temporary files of processes that died: rename a complete file to an entry, others to `.damaged`. */
  async #adopt(): Promise<void> {
    for (const file of await readdir(this.#folder).catch(() => [])) {
      const name = file.endsWith(TEMPORARY) ? parse(file) : undefined;
      if (!name && !file.startsWith(WRITE_CHECK)) continue;
      const from = join(this.#folder, file);
      try {
        if (Date.now() - (await stat(from)).mtimeMs < ABANDONED_MS) continue;
        if (!name) {
          await unlink(from);
          continue;
        }
        const whole = verifiedContent(await readFile(from)) !== undefined;
        await rename(from, join(this.#folder, name.id) + (whole ? READY : DAMAGED));
        this.#log(
          "warn",
          whole ? "An unfinished file was whole and is queued" : "A torn file was set aside",
          {
            file,
          },
        );
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
  }
}

function parse(file: string): Name | undefined {
  const id = file.replace(/(\.[0-9a-f]{8})?\.(json|tmp|damaged)$/, "");
  const [, at, digest, bytes] = NAME.exec(id) ?? [];
  return at && digest && bytes && id !== file
    ? { id, at: new Date(Number(at)), digest, bytes: Number(bytes) }
    : undefined;
}

/** Return the content below the checksum line, or undefined if the checksum is wrong. */
function verifiedContent(whole: Buffer): Buffer | undefined {
  const end = whole.indexOf("\n");
  const text = whole.subarray(end + 1);
  return end > 0 && whole.subarray(0, end).toString("latin1") === sha256(text) ? text : undefined;
}

async function writeAndSync(path: string, data: Buffer): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(data);
    await file.sync();
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  for (let each = path; first && each.length >= first.length; each = dirname(each)) {
    await syncFolder(dirname(each));
  }
}

// A new or renamed file survives a power failure only if its folder is fsynced.
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function digestOf(key: string): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 32);
}

function sha256(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

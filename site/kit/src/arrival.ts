/**
 * Reads a visitor's request, as JSON or as an HTML form, in linear time and within limits on bytes, fields and time.
 * Does not validate the fields.
 */

import { pipeline } from "node:stream/promises";
import { Busboy, type BusboyHeaders } from "@fastify/busboy";
import { FILES } from "./names.js";
import { cut } from "./text.js";
import { isObject } from "./validate.js";

/** The request cannot be read. The route answers it with the HTTP status `status`. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
  constructor(readonly status: 400 | 408 | 413 | 415) {
    super(String(status));
  }
}

export interface Arrival {
  readonly fields: Readonly<Record<string, unknown>>;
  /** True if the browser posted the form without JavaScript, so that the answer must be a page. */
  readonly plain: boolean;
  /** The names of the files in the form. The content of the files was discarded. */
  readonly files: readonly string[];
}

// A form writes one byte as up to three: the gateway's 256 KiB, and what that adds.
const MAX_BYTES = 800 * 1024;
const DEADLINE_MS = 10_000;
// Files are skipped while they arrive, so they cost time and no memory.
const MAX_BYTES_WITH_FILES = 64 * 1024 * 1024;
const DEADLINE_WITH_FILES_MS = 60_000;
// Far more than people fill in.
const MAX_FIELDS = 1000;
const MAX_FILES = 20;
const FILE_NAME_MAX = 200;
// The gateway accepts no deeper lists and objects.
const MAX_DEPTH = 16;

/** Return the fields of a request. Throws `Unreadable` if the request is malformed, too large or too slow. */
export async function readArrival(request: Request): Promise<Arrival> {
  const type = request.headers.get("content-type") ?? "";
  const media = (type.split(";", 1)[0] ?? "").trim().toLowerCase();
  const plain = !(request.headers.get("accept") ?? "").includes("application/json");
  switch (media) {
    case "application/json": {
      const fields = readJson(await readBytes(request));
      return { fields, plain: false, files: fileNames(fields[FILES]) };
    }
    case "application/x-www-form-urlencoded":
      return { fields: readForm(await readBytes(request)), plain, files: [] };
    case "multipart/form-data":
      return { ...(await readParts(request, type)), plain };
    default:
      throw new Unreadable(415);
  }
}

async function* piecesOf(request: Request, maximum: number, deadlineMs: number): AsyncGenerator<Uint8Array> {
  const reader = request.body?.getReader();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unreadable(408)), deadlineMs);
  });
  late.catch(() => undefined); // it may come while nobody waits
  let whole = false;
  try {
    for (let size = 0; reader; ) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) break;
      size += value.length;
      if (size > maximum) throw new Unreadable(413);
      yield value;
    }
    whole = true;
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable(400);
  } finally {
    clearTimeout(timer);
    if (!whole) await reader?.cancel().catch(() => undefined);
  }
}

async function readBytes(request: Request): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of piecesOf(request, MAX_BYTES, DEADLINE_MS)) pieces.push(piece);
  return Buffer.concat(pieces);
}

function readJson(bytes: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Unreadable(400); // without the parser's message, which quotes the input
  }
  if (!isObject(value) || isDeeper(value, MAX_DEPTH)) throw new Unreadable(400);
  if (Object.keys(value).length > MAX_FIELDS) throw new Unreadable(413);
  return value;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels < 0 || Object.values(value).some((each) => isDeeper(each, levels - 1));
}

function readForm(bytes: Buffer): Record<string, unknown> {
  // Counted before anything is made of them.
  let fields = 1;
  for (let at = bytes.indexOf("&"); at >= 0; at = bytes.indexOf("&", at + 1)) {
    fields += 1;
    if (fields > MAX_FIELDS) throw new Unreadable(413);
  }
  const form = new Fields();
  for (const [name, value] of new URLSearchParams(bytes.toString("utf8"))) form.add(name, value);
  return form.all();
}

/** Read a `multipart/form-data` body. The content of files is discarded, so that a file never costs the lead. */
async function readParts(request: Request, type: string): Promise<Pick<Arrival, "fields" | "files">> {
  const form = new Fields();
  const files: string[] = [];
  let bytes = 0;
  let tooLarge = false;
  const refuse = () => {
    tooLarge = true;
  };
  try {
    const parser = new Busboy({
      headers: { "content-type": type } as BusboyHeaders,
      limits: { fields: MAX_FIELDS, parts: MAX_FIELDS + MAX_FILES, fieldSize: MAX_BYTES, headerPairs: 20 },
    });
    parser.on("field", (name, value, _nameCut, cut) => {
      bytes += value.length;
      if (cut || bytes > MAX_BYTES) refuse();
      else form.add(name, value);
    });
    parser.on("file", (name, file, given) => {
      let size = 0;
      // The parser reports it as well; without a listener here Node.js would end the site's process.
      file.on("error", () => undefined);
      file.on("data", (piece: Buffer) => {
        size += piece.length;
      });
      file.on("end", () => {
        if (!size && !given) return; // the visitor chose none
        const label = given || "file";
        files.push(label);
        form.add(name, label);
      });
    });
    parser.on("fieldsLimit", refuse);
    parser.on("partsLimit", refuse);
    await pipeline(piecesOf(request, MAX_BYTES_WITH_FILES, DEADLINE_WITH_FILES_MS), parser);
  } catch (error) {
    throw error instanceof Unreadable ? error : new Unreadable(400);
  }
  if (tooLarge) throw new Unreadable(413);
  return { fields: form.all(), files: fileNames(files) };
}

/** A form's values by field name. A field with several values that are not empty has a list of them. */
class Fields {
  readonly #values = new Map<string, string[]>();

  add(name: string | undefined, value: string): void {
    if (name === undefined) return;
    const values = this.#values.get(name) ?? [];
    if (!values.length) this.#values.set(name, values);
    if (value !== "") values.push(value);
  }

  all(): Record<string, unknown> {
    return Object.fromEntries(
      [...this.#values].map(([name, values]) => [name, values.length > 1 ? values : (values[0] ?? "")]),
    );
  }
}

function fileNames(given: unknown): string[] {
  return (Array.isArray(given) ? given : [])
    .filter((each): each is string => typeof each === "string")
    .slice(0, MAX_FILES)
    .map((each) => cut(each, FILE_NAME_MAX));
}

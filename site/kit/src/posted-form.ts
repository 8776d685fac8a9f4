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

export interface PostedForm {
  readonly fields: Readonly<Record<string, unknown>>;
  /** True if the browser posted the form without JavaScript, so that the answer must be a page. */
  readonly wantsPage: boolean;
  /** The names of the files in the form. The content of the files was discarded. */
  readonly files: readonly string[];
}

// The gateway accepts 256 KiB. A form encodes one byte as up to three.
const MAX_BYTES = 800 * 1024;
const DEADLINE_MS = 10_000;
// The content of files is discarded while it is read, so files need time but no memory.
const MAX_BYTES_WITH_FILES = 64 * 1024 * 1024;
const DEADLINE_WITH_FILES_MS = 60_000;
// More fields than any form has.
const MAX_FIELDS = 1000;
const MAX_FILES = 20;
const FILE_NAME_MAX = 200;
// The gateway refuses lists and objects that are nested more deeply.
const MAX_DEPTH = 16;

/** Return the fields of a request. Throws `Unreadable` if the request is malformed, too large or too slow. */
export async function readPostedForm(request: Request): Promise<PostedForm> {
  const type = request.headers.get("content-type") ?? "";
  const media = (type.split(";", 1)[0] ?? "").trim().toLowerCase();
  const wantsPage = !(request.headers.get("accept") ?? "").includes("application/json");
  switch (media) {
    case "application/json": {
      const fields = readJson(await readBytes(request));
      return { fields, wantsPage: false, files: fileNames(fields[FILES]) };
    }
    case "application/x-www-form-urlencoded":
      return { fields: readForm(await readBytes(request)), wantsPage, files: [] };
    case "multipart/form-data":
      return { ...(await readParts(request, type)), wantsPage };
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
  late.catch(() => undefined); // the timer may fire while nothing awaits this promise
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
    throw new Unreadable(400); // omits the parser's message, which quotes the input
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
  // Count the fields before parsing them, so that a huge body is refused cheaply.
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
async function readParts(request: Request, type: string): Promise<Pick<PostedForm, "fields" | "files">> {
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
      // The parser reports this error too. Without this listener, Node.js would end the site's process.
      file.on("error", () => undefined);
      file.on("data", (piece: Buffer) => {
        size += piece.length;
      });
      file.on("end", () => {
        if (!size && !given) return; // an empty file field: the visitor chose no file
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

/** A visitor's request: bounded in bytes and time, read as JSON or as a form. What it says is judged elsewhere. */

import { isObject } from "./validate.js";

/** A request that nobody can read: answer this status. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
  constructor(readonly status: 400 | 408 | 413 | 415) {
    super(String(status));
  }
}

export interface Arrival {
  readonly fields: Readonly<Record<string, unknown>>;
  /** Posted by the browser itself, without JavaScript: the answer is a page. */
  readonly plain: boolean;
}

// A form writes one byte as up to three: the gateway's 64 KiB, and what that adds.
const MAX_BYTES = 200 * 1024;
const DEADLINE_MS = 10_000;
// The gateway takes no deeper lists and objects, and a page of the queue that holds one is read by nobody.
const MAX_DEPTH = 16;

export async function readArrival(request: Request): Promise<Arrival> {
  const type = request.headers.get("content-type") ?? "";
  const media = (type.split(";", 1)[0] ?? "").trim().toLowerCase();
  const isForm = media === "application/x-www-form-urlencoded" || media === "multipart/form-data";
  if (!isForm && media !== "application/json") throw new Unreadable(415);
  const bytes = await readBytes(request);
  const wantsJson = (request.headers.get("accept") ?? "").includes("application/json");
  return isForm
    ? { fields: await readForm(bytes, type), plain: !wantsJson }
    : { fields: readJson(bytes), plain: false };
}

async function readBytes(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  const reader = request.body?.getReader();
  const pieces: Uint8Array[] = [];
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unreadable(408)), DEADLINE_MS);
  });
  try {
    for (let size = 0; reader; ) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) break;
      size += value.length;
      if (size > MAX_BYTES) throw new Unreadable(413);
      pieces.push(value);
    }
  } catch (error) {
    await reader?.cancel().catch(() => undefined);
    throw error instanceof Unreadable ? error : new Unreadable(400);
  } finally {
    clearTimeout(timer);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

function readJson(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isObject(value) && !isDeeper(value, MAX_DEPTH)) return value;
  } catch {
    // Said below: the parser's own words quote the input.
  }
  throw new Unreadable(400);
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels < 0 || Object.values(value).some((each) => isDeeper(each, levels - 1));
}

async function readForm(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<Record<string, unknown>> {
  let form: FormData;
  try {
    form = await new Response(bytes, { headers: { "content-type": type } }).formData();
  } catch {
    throw new Unreadable(400);
  }
  const fields: Record<string, unknown> = {};
  for (const name of new Set(form.keys())) {
    // A file's bytes are not for a lead; that there was one is worth knowing.
    const values = form
      .getAll(name)
      .map((each) => (typeof each === "string" ? each : each.name))
      .filter((each) => each !== "");
    fields[name] = values.length > 1 ? values : (values[0] ?? "");
  }
  return fields;
}

/** A gateway that answers as told, over real HTTP; and a site's route before it. */

import { mkdtemp, readdir } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Contact, type ContactOptions, createContactRoute, type Settings } from "../src/index.js";

export interface Taken {
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

export class Gateway {
  readonly taken: Taken[] = [];
  /** How the next requests are answered; 201 where nothing is said. */
  answer: (response: ServerResponse) => void = accept;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Gateway> {
    const server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        gateway.taken.push({
          headers: request.headers,
          body: JSON.parse(Buffer.concat(pieces).toString("utf8")),
        });
        gateway.answer(response);
      });
    });
    const gateway = new Gateway(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return gateway;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}

export function accept(response: ServerResponse): void {
  say(response, 201, { leadId: "019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e1f", status: "received" });
}

export function say(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

export interface Site extends Contact {
  readonly settings: Settings;
  readonly lines: { level: string; message: string; facts: Record<string, unknown> }[];
  /** Post as a page's script does. */
  json(fields: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Post as a browser without scripts does. */
  form(fields: Record<string, string>, headers?: Record<string, string>): Promise<Response>;
  queued(): Promise<string[]>;
}

export async function siteBefore(url: string, options: ContactOptions = {}): Promise<Site> {
  const settings: Settings = {
    url,
    ingestToken: "ingest-token",
    queueToken: "queue-token",
    queueFolder: join(await mkdtemp(join(tmpdir(), "site-")), "queue"),
    proxyHops: 1,
    ...options.settings,
  };
  const lines: Site["lines"] = [];
  const { POST } = createContactRoute({
    log: (level, message, facts = {}) => lines.push({ level, message, facts }),
    ...options,
    settings,
  });
  const post = (body: string, type: string, headers: Record<string, string>) =>
    POST(
      new Request("http://site.example/api/contact", {
        method: "POST",
        headers: { "content-type": type, "x-forwarded-for": "192.0.2.7", ...headers },
        body,
      }),
    );
  return {
    POST,
    settings,
    lines,
    json: (fields, headers = {}) => post(JSON.stringify(fields), "application/json", headers),
    form: (fields, headers = {}) =>
      post(new URLSearchParams(fields).toString(), "application/x-www-form-urlencoded", {
        accept: "text/html",
        ...headers,
      }),
    queued: async () =>
      (await readdir(settings.queueFolder).catch(() => [])).filter((each) => each.endsWith(".json")),
  };
}

/** What a visitor filled in, a minute after the form was shown. */
export function filled(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name: "Ada Lovelace",
    email: "ada@example.com",
    service: "Website",
    message: "Please call me.",
    form_key: "6f1c1f0e-5f0a-4c7e-9a55-0c8f6a1d2b3c",
    form_rendered_at: new Date(Date.now() - 60_000).toISOString(),
    ...changes,
  };
}

/** A website that is nothing but the site kit: `node website.mjs PORT`. Its settings are those of the kit. */

import { createServer } from "node:http";
import { createContactRoute, createQueueRoutes } from "../../../site/kit/dist/index.js";

const { POST } = createContactRoute({ limit: { posts: 1000, seconds: 600 } });
const { GET, DELETE } = createQueueRoutes();
const routes = {
  "POST /api/contact": POST,
  "GET /api/contact/queue": GET,
  "DELETE /api/contact/queue/": (request) =>
    DELETE(request, { params: Promise.resolve({ id: new URL(request.url).pathname.split("/").at(-1) }) }),
};

createServer(async (incoming, outgoing) => {
  const url = new URL(incoming.url, `http://${incoming.headers.host}`);
  const path = incoming.method === "DELETE" ? url.pathname.replace(/[^/]+$/, "") : url.pathname;
  const route = routes[`${incoming.method} ${path}`] ?? (() => new Response(null, { status: 404 }));
  const body = incoming.method === "POST" ? { body: incoming, duplex: "half" } : {};
  const response = await route(new Request(url, { method: incoming.method, headers: incoming.headers, ...body }));
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}).listen(Number(process.argv[2]), "127.0.0.1");

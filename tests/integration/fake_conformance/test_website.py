"""The fake website answers like the site kit's queue routes: the same requests run on both."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.embedded.servers.standalone import free_ports
from tests.support.services.processes import ROOT
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client
from tests.support.web.site import build
from tests.support.web.websites import QUEUE_TOKEN, fake_sites, queued

# Serves the kit's queue routes, with the entries that come on its input as JSON.
SERVER = """
import { createServer } from "node:http";
import { createQueueRoutes } from "./queue-route.js";
import { Queue } from "./queue.js";
const [folder, port, queueToken, entries] = JSON.parse(process.env.QUEUE);
const queue = new Queue(folder);
for (const { idempotencyKey: key, queuedAt, body } of entries) {
  await queue.append({ key, at: new Date(queuedAt), traceparent: "", body });
}
const { GET, DELETE } = createQueueRoutes({ settings: { queueToken, queueFolder: folder } });
createServer(async (incoming, outgoing) => {
  const request = new Request(`http://site.example${incoming.url}`, incoming);
  const id = new URL(request.url).pathname.split("/")[4];
  const answer = await (id ? DELETE(request, { params: Promise.resolve({ id }) }) : GET(request));
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
}).listen(port, "127.0.0.1");
"""
ENTRIES = [queued(number) for number in (1, 2, 3)]
QUEUE_PATH = "/api/contact/queue"


@asynccontextmanager
async def real_website(folder: Path) -> AsyncIterator[str]:
    await asyncio.to_thread(build, "site/kit/dist/index.js")
    (port,) = free_ports(1)
    options = json.dumps([str(folder), port, QUEUE_TOKEN, ENTRIES])
    command = ["node", "--input-type=module", "--eval", SERVER]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT / "site" / "kit" / "dist", env=os.environ | {"QUEUE": options}
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def queue_answers(url: str) -> list[Any]:
    """Return what a flusher sees of the queue: statuses, and the data of each page."""
    found = list[Any]()
    async with plain_client(base_url=url, headers={"Authorization": f"Bearer {QUEUE_TOKEN}"}) as client:

        async def connected() -> bool:
            try:
                return (await client.get(QUEUE_PATH, params={"limit": 100})).status_code == 200
            except httpx.ConnectError:
                return False

        async def list_queue(limit: int) -> list[dict[str, Any]]:
            response = await client.get(QUEUE_PATH, params={"limit": limit})
            page = response.json() if response.status_code == 200 else {"entries": []}
            entries: list[dict[str, Any]] = page["entries"]
            content = [(each["idempotencyKey"], each["body"]) for each in entries]
            problems = page.get("damaged") or page.get("writeError")
            found.append((response.status_code, content, page.get("depth"), problems))
            return entries

        await eventually(connected, what="the website's queue")
        await list_queue(0)
        await list_queue(2)
        (entry, *_) = await list_queue(100)
        for _ in range(2):
            found.append((await client.delete(f"{QUEUE_PATH}/{entry['id']}")).status_code)
        await list_queue(100)
        unauthorized = await client.get(QUEUE_PATH, headers={"Authorization": "Bearer wrong"})
        found.append(unauthorized.status_code)
    return found


async def test_website_fake_answers_like_the_kit(tmp_path: Path) -> None:
    async with fake_sites() as fake:
        fake.entries = list(ENTRIES)
        expected = await queue_answers(fake.url)
    async with real_website(tmp_path / "queue") as url:
        assert await queue_answers(url) == expected

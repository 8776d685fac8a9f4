"""`python -m tests.bench.inputs.destinations PORT SECONDS`: a good and a slow destination in one process.

`POST /good` answers at once, and `POST /slow` after SECONDS. Nothing listens on the port of a dead one.
`GET /arrived` returns the latency of each event at `/good` in ms, from the event's own time, which the load
sets when it publishes the lead. `GET /clear` forgets them.
"""

import asyncio
import time
from datetime import datetime
from typing import Annotated

import typer
import uvloop
from aiohttp import web

arrived: dict[str, float] = {}  # the latency in ms of each webhook-id


async def _good(request: web.Request) -> web.Response:
    now = time.time()
    sent = datetime.fromisoformat((await request.json())["timestamp"])
    arrived.setdefault(request.headers["webhook-id"], 1000 * (now - sent.timestamp()))
    return web.Response()


async def _arrived(_: web.Request) -> web.Response:
    return web.json_response(list(arrived.values()))


async def _clear(_: web.Request) -> web.Response:
    arrived.clear()
    return web.Response()


async def _serve(port: int, slow_seconds: float) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(slow_seconds)
        return web.Response()

    app = web.Application()
    app.router.add_post("/good", _good)
    app.router.add_post("/slow", slow)
    app.router.add_get("/arrived", _arrived)
    app.router.add_get("/clear", _clear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main(
    port: Annotated[int, typer.Argument(help="Where to listen, on 127.0.0.1.")],
    slow_seconds: Annotated[float, typer.Argument(help="How long the slow destination takes.")],
) -> None:
    """Receive webhooks until stopped."""
    uvloop.run(_serve(port, slow_seconds))


if __name__ == "__main__":
    typer.run(main)

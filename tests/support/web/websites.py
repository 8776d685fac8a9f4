"""A fake website with a queue, and a fake gateway, on one real HTTP server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.embedded.servers.standalone import free_ports
from services.flusher.settings import Site
from tests.support.wait import eventually

QUEUE_TOKEN = "queue-token"
INGEST_TOKEN = "ingest-token"
INGEST_TOKENS = {INGEST_TOKEN: "shop", "blog-token": "blog"}


def queued(number: int, **changes: Any) -> dict[str, Any]:
    """Return an entry of a website's queue."""
    body = {"name": "Ada", "email": f"ada{number}@example.com", "service": "Web", "message": "Hello"}
    return {
        "id": f"e{number}",
        "idempotencyKey": f"key-{number}",
        "queuedAt": f"2026-01-01T00:00:{number % 60:02}Z",
        "body": body,
    } | changes


@dataclass
class FakeSites:
    """The entries of the website, the leads that reached the gateway, and the responses of both."""

    url: str
    entries: list[dict[str, Any]] = field(default_factory=list)
    taken: list[tuple[str, Any]] = field(default_factory=list)
    queue_token: str = QUEUE_TOKEN
    refuse: dict[str, Response] = field(default_factory=dict)
    gateway_status: int = 201
    removals: int = 204
    page: int = 100
    damaged: int = 0
    # The response of the queue instead of a page.
    answer: bytes | None = None
    write_error: str | None = None
    # Redirect to paths with a slash at the end (True), without one (False), or not at all (None).
    slash: bool | None = None
    moved_to: str = ""
    requests: int = 0
    # The site of each accepted lead, by its token.
    sites: list[str] = field(default_factory=list)

    @property
    def site(self) -> Site:
        return Site("shop", f"{self.url}/api/contact/queue", QUEUE_TOKEN, INGEST_TOKEN)

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.taken]

    async def listing(self, request: Request) -> Response:
        if moved := self.redirected(request):
            return moved
        if request.headers["authorization"] != f"Bearer {self.queue_token}":
            return JSONResponse({}, 401)
        if self.answer is not None:
            return Response(self.answer, media_type="application/json")
        oldest = min((each["queuedAt"] for each in self.entries), default=None)
        limit = int(request.query_params["limit"])
        if limit < 1:
            return JSONResponse({}, 400)
        page = self.entries[: min(self.page, limit)]
        status = {"depth": len(self.entries), "oldestQueuedAt": oldest, "damaged": self.damaged}
        return JSONResponse({"entries": page, **status, "writeError": self.write_error})

    def redirected(self, request: Request) -> Response | None:
        """Return 308 like Next.js, with or without `trailingSlash`."""
        self.requests += 1
        if self.moved_to:
            return Response(status_code=308, headers={"Location": self.moved_to})
        path = request.url.path
        if self.slash is None or path.endswith("/") == self.slash:
            return None
        target = f"{path}/" if self.slash else path.rstrip("/")
        query = f"?{request.url.query}" if request.url.query else ""
        return Response(status_code=308, headers={"Location": f"{target}{query}"})

    async def removing(self, request: Request) -> Response:
        if moved := self.redirected(request):
            return moved
        if self.removals == 204:
            remaining = [each for each in self.entries if each["id"] != request.path_params["id"]]
            if len(remaining) == len(self.entries):
                return JSONResponse({}, 404)
            self.entries = remaining
        return Response(status_code=self.removals)

    async def inbound(self, request: Request) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        if token not in INGEST_TOKENS:
            return JSONResponse({}, 401)
        key = request.headers["idempotency-key"]
        if refusal := self.refuse.get(key):
            return refusal
        if self.gateway_status == 201:
            self.taken.append((key, await request.json()))
            self.sites.append(INGEST_TOKENS[token])
        return JSONResponse({}, self.gateway_status)


def refusal(*fields: str) -> Response:
    """Return the response of the gateway to an invalid body."""
    errors = [{"field": name, "message": "is required"} for name in fields]
    return JSONResponse({"status": 422, "errors": errors}, 422)


@contextlib.asynccontextmanager
async def fake_sites() -> AsyncIterator[FakeSites]:
    """Serve the fake website and gateway while the block lasts."""
    (port,) = free_ports(1)
    made = FakeSites(f"http://127.0.0.1:{port}")
    app = Starlette(
        routes=[
            Route("/api/contact/queue", made.listing),
            Route("/api/contact/queue/", made.listing),
            Route("/api/contact/queue/{id}", made.removing, methods=["DELETE"]),
            Route("/api/contact/queue/{id}/", made.removing, methods=["DELETE"]),
            Route("/inbound/leads", made.inbound, methods=["POST"]),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_config=None, access_log=False)
    )
    task = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started, what="the website")
    yield made
    server.should_exit = True
    await task

"""A real HTTP server that receives webhooks. It verifies them with the Standard Webhooks library."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from standardwebhooks import Webhook

from tests.support.web.http_server import serve

SECRET: Final = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes.").decode()
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def accept(_: web.Request) -> web.StreamResponse:
    """Answer 200."""
    return web.Response(text="thank you")


@dataclass
class Receiver:
    """What arrived. `answer` decides each response; it may be replaced while the server runs."""

    url: str = ""
    answer: Answer = accept
    events: list[dict[str, Any]] = field(default_factory=list)
    contents: dict[str, set[str]] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    unverified: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record a request, verify its signature, and answer it. Remember each accepted event once."""
        body = await request.text()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.headers.append(headers)
        self.bodies.append(body)
        if event_id := headers.get("webhook-id"):
            try:
                Webhook(SECRET).verify(body, headers)
            except Exception:  # noqa: BLE001 - the library raises its own error and those of base64
                self.unverified += 1
            self.contents.setdefault(event_id, set()).add(body)
            self.attempts[event_id] += 1
        response = await self.answer(request)
        if response.status < 300 and event_id and event_id not in {each["id"] for each in self.events}:
            self.events.append({"id": event_id, **json.loads(body)})
        return response


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    receiver = Receiver()
    async with serve(receiver.handle) as url:
        receiver.url = f"{url}/hook"
        yield receiver

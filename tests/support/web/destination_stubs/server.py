"""Runs one stub: an HTTP server that answers as a contract says, and keeps what the contract accepts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from tests.support.web.http_server import serve


@dataclass(frozen=True)
class Call:
    """A request to a stub. `text` is its body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    text: str

    @property
    def content_type(self) -> str:
        """The content type without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """Return the body as JSON, or None if it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


@dataclass(frozen=True)
class Answer:
    """A response. `accepted` is what the service keeps, or None if it refuses the request."""

    status: int
    body: Any = ""
    accepted: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """Return the HTTP response."""
        is_text = isinstance(self.body, str)
        text = self.body if is_text else json.dumps(self.body, separators=(",", ":"))
        kind = "text/plain" if is_text else "application/json"
        return web.Response(
            status=self.status, text=text, content_type=kind, headers=CIMultiDict(self.headers)
        )


Contract = Callable[[Call], Answer]


class Refusal(Exception):
    """A contract raises this to refuse a request. `answer` is the response."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def require(condition: object, status: int, body: Any = "", **headers: str) -> None:
    """Refuse the request with this response unless the condition is true."""
    if not condition:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raise Refusal(Answer(status, body, headers=named))


@dataclass
class Stub:
    """A running stub. `url` is its origin; `answers` and `accepted` grow with each request."""

    contract: Contract
    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request as the contract says."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.path, dict(request.query), headers, await request.text())
        try:
            answer = await asyncio.to_thread(self.contract, call)
        except Refusal as refusal:
            answer = refusal.answer
        self.answers.append(answer)
        if answer.accepted is not None:
            self.accepted.append(answer.accepted)
        return answer.response()


@asynccontextmanager
async def running_stub(contract: Contract) -> AsyncIterator[Stub]:
    """Run a stub on a free port of this machine."""
    stub = Stub(contract)
    async with serve(stub.handle) as url:
        stub.url = url
        yield stub

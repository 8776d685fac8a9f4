"""`python -m tests.bench.steady URL`: leads at a fixed rate, each answer timed from when it was due.

Timed from the schedule, not from the send: a gateway that stands still for a second shows in every
request that was due in it (Tene's coordinated omission). On bare connections: an HTTP client of
Python's takes more of a core than the gateway does.
"""

import asyncio
import json
import time
from typing import Annotated, cast
from urllib.parse import urlsplit
from uuid import uuid4

import typer
import uvloop

from contracts.leads import EXAMPLE
from tests.bench.ground import TOKEN

CONNECTIONS = 64


class Connection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[bytes] | None = None
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._seen = b""
        self._transport.write(request)
        return answer

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        if (
            self._answer
            and end
            and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        ):
            self._answer.set_result(self._seen)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before its answer"))


def _request(number: int) -> bytes:
    body = json.dumps(EXAMPLE | {"email": f"{uuid4().hex}@example.com", "request_id": uuid4().hex}).encode()
    return (
        f"POST /inbound/leads HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nX-Request-ID: {number}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def _post(url: str, rate: float, seconds: float) -> dict[str, float]:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    idle = asyncio.LifoQueue[Connection]()
    for _ in range(CONNECTIONS):
        _, made = await loop.create_connection(Connection, str(parts.hostname), parts.port or 80)
        idle.put_nowait(made)
    took, refused = list[float](), 0

    async def one(number: int, due: float) -> None:
        nonlocal refused
        connection = await idle.get()
        answer = await connection.ask(requests[number])
        took.append(1000 * (time.perf_counter() - due))
        refused += not answer.startswith(b"HTTP/1.1 201")
        idle.put_nowait(connection)

    requests = [_request(number) for number in range(int(rate * seconds))]  # made before the clock runs
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as posts:
        for number in range(len(requests)):
            due = begun + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            posts.create_task(one(number, due))
    took.sort()
    return {
        "p50": took[len(took) // 2],
        "p99": took[int(len(took) * 0.99)],
        "sent": len(took),
        "refused": refused,
    }


def main(
    url: Annotated[str, typer.Argument(help="Of the gateway, without a path.")],
    rate: Annotated[float, typer.Option(help="Leads a second.")] = 300,
    seconds: Annotated[float, typer.Option(help="How long.")] = 10,
) -> None:
    """Post leads at a fixed rate and print the answers' times as JSON."""
    typer.echo(json.dumps(uvloop.run(_post(url, rate, seconds))))


if __name__ == "__main__":
    typer.run(main)

"""The limits of a request's body, and the check of its host."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx
from fastapi import Body, FastAPI, Request

from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.request_limits import BODY_MAX_BYTES, RequestLimits, Uploads

JSON = {"Content-Type": "application/json"}


def client_of(**options: Any) -> httpx.AsyncClient:
    """Return a client of an app that responds with the length of the body."""
    app = FastAPI()
    app.add_middleware(RequestLimits, **options)

    @app.post("/")
    @app.post("/login")
    async def length(text: Annotated[str, Body()]) -> int:
        return len(text)

    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=JSON)


def text(size: int) -> bytes:
    """Return a JSON text of this size in bytes."""
    return b'"' + b"x" * (size - 2) + b'"'


async def pieces(body: bytes, pause: float = 0) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]
        await asyncio.sleep(pause)


async def test_body_within_the_limit_is_read() -> None:
    async with client_of() as client:
        for content in (text(BODY_MAX_BYTES), pieces(text(BODY_MAX_BYTES))):
            answer = await client.post("/", content=content)
            assert (answer.status_code, answer.json()) == (200, BODY_MAX_BYTES - 2)


async def test_larger_body_gets_a_413_and_is_not_read() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    async with client_of() as client:
        assert (await client.post("/", content=endless())).status_code == 413
        assert sent <= BODY_MAX_BYTES + 2 * 65_536
        declared = {"Content-Length": "9" * 5000}
        assert (await client.post("/", content=pieces(b"1"), headers=declared)).status_code == 413


async def test_route_may_have_its_own_limit() -> None:
    async with client_of(body_max_bytes={"/login": 100}) as client:
        assert (await client.post("/login", content=text(100))).status_code == 200
        assert (await client.post("/login", content=text(101))).status_code == 413


async def test_slow_body_gets_a_408_and_closes_the_connection() -> None:
    async with client_of(deadline_seconds=0.05) as client:
        # Each piece comes in time: all of them do not.
        answer = await client.post("/", content=pieces(text(200_000), pause=0.03))
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


async def test_body_of_an_unauthenticated_client_is_not_read() -> None:
    def unread() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async def body() -> AsyncIterator[bytes]:
        for each in unread():
            yield each

    async with client_of(authenticated=lambda _: False) as client:
        # The app sees no body, and refuses the request for what it knows.
        assert (await client.post("/", content=body())).status_code == 422
        waiting = await client.post("/", content=body(), headers={"Expect": "100-continue"})
        assert waiting.headers["connection"] == "close"


async def test_request_for_a_foreign_host_gets_a_421() -> None:
    async with client_of(hosts=AllowedHosts("", debug=True)) as client:
        answer = await client.post("/", content=b'"x"', headers={"Host": "evil.example"})
        assert (answer.status_code, answer.json()["title"]) == (421, "Misdirected Request")
        assert "FASTCORE_HTTP_ALLOWED_HOSTS" in answer.json()["detail"]
        assert (await client.post("/", content=b'"x"')).status_code == 200


async def test_multipart_bodies_under_a_path_have_limits_of_their_own() -> None:
    app = FastAPI()
    app.add_middleware(RequestLimits, uploads=Uploads("/forms/", BODY_MAX_BYTES + 10, 5.0))

    @app.post("/login")
    @app.post("/forms/a")
    async def length(request: Request) -> int:
        return len(await request.body())

    multipart, more = {"Content-Type": "multipart/form-data; boundary=X"}, BODY_MAX_BYTES + 10
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for path, headers, size, status in [
            ("/forms/a", multipart, more, 200),
            ("/forms/a", multipart, more + 1, 413),
            ("/forms/a", JSON, more, 413),
            ("/login", multipart, more, 413),
        ]:
            answer = await client.post(path, content=text(size), headers=headers)
            assert answer.status_code == status, (path, headers, size)

"""The edge on one port: /admin to the admin service, the rest to ingest, /internal to nobody.

It streams both ways and decides nothing else; limits and authentication are the services'.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from typing import Annotated, Any

import httpx
import typer
import uvicorn
from starlette.types import Receive, Scope, Send

from runtime.arrival import bounded_arrival

# RFC 9110, 7.6.1: these are between two neighbours, as are those that Connection names.
_HOP_BY_HOP = {
    b"connection",
    b"expect",  # the edge takes the body in any case
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
# Said anew by the edge: a caller's own claim is worth nothing, as the edge stands outermost.
_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}

# Ingest answers in 10 s at the latest; an export may pause that long between two pieces.
_TIMEOUT = httpx.Timeout(connect=2, read=60, write=30, pool=5)
_BODY_IDLE_SECONDS = 30
_HEAD_SECONDS = 10

Headers = list[tuple[bytes, bytes]]


class CallerGoneError(Exception):
    """The caller left in the middle of its body: nobody waits for an answer."""


class CallerStalledError(Exception):
    """The caller stopped sending its body: it is told so, and its connection given up."""


def choose_upstream(path: str, ingest: str, admin: str) -> str | None:
    """Answer the service for a decoded path, or None for what is nobody's business outside."""
    segments = path.split("/")
    # Dots are nobody's: two readers of one path need not resolve them alike, and /internal would slip by.
    if "." in segments or ".." in segments:
        return None
    first = next(filter(None, segments), "")
    if first == "internal":
        return None
    return admin if first == "admin" else ingest


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Leave out the headers that are only for the next hop."""
    # Blanks around a value are no part of it (RFC 9110, 5.5), and h11 refuses to send them.
    pairs = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    named = {
        token.strip().lower() for name, value in pairs if name == b"connection" for token in value.split(b",")
    }
    return [(name, value) for name, value in pairs if name not in _HOP_BY_HOP | named]


def problem(status: HTTPStatus, detail: str) -> tuple[Headers, bytes]:
    """Answer an RFC 9457 document with its headers."""
    body = json.dumps(
        {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    ).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        headers.append((b"retry-after", b"1"))
    return headers, body


class Edge:
    """The ASGI application."""

    def __init__(self, client: httpx.AsyncClient, ingest: str, admin: str) -> None:
        self._client, self._ingest, self._admin = client, ingest, admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            return  # no service speaks WebSocket: uvicorn refuses the handshake
        upstream = choose_upstream(scope["path"], self._ingest, self._admin)
        if upstream is None:
            await _answer(send, HTTPStatus.NOT_FOUND, "There is nothing here.")
            return
        try:
            request = self._build(upstream, scope, receive)
            response = await self._client.send(request, stream=True)
        except CallerGoneError:
            return
        except CallerStalledError:
            await _answer(send, HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.")
        except (UnicodeDecodeError, httpx.InvalidURL):
            await _answer(send, HTTPStatus.BAD_REQUEST, "The address is not a valid URL.")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            await _answer(send, HTTPStatus.SERVICE_UNAVAILABLE, "The service is not up. Try again.")
        except httpx.TimeoutException:
            await _answer(send, HTTPStatus.GATEWAY_TIMEOUT, "The service took too long. Try again.")
        except httpx.TransportError:
            await _answer(send, HTTPStatus.BAD_GATEWAY, "The service broke off. Try again.")
        else:
            await _pass_back(response, send)

    def _build(self, upstream: str, scope: Scope, receive: Receive) -> httpx.Request:
        headers = [pair for pair in end_to_end(scope["headers"]) if pair[0] not in _FORWARDED]
        host = dict(headers).get(b"host", b"")
        headers += [
            (b"x-forwarded-for", scope["client"][0].encode() if scope["client"] else b"unknown"),
            (b"x-forwarded-proto", scope["scheme"].encode()),
            (b"x-forwarded-host", host),
        ]
        names = {name.lower() for name, _ in scope["headers"]}
        has_body = bool(names & {b"content-length", b"transfer-encoding"})
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        # Built without the client, which would add headers of its own, such as Accept-Encoding.
        return httpx.Request(
            scope["method"],
            httpx.URL(upstream).copy_with(raw_path=target),
            headers=headers,
            content=_body(receive) if has_body else None,
            extensions={"timeout": _TIMEOUT.as_dict()},
        )


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        try:
            async with asyncio.timeout(_BODY_IDLE_SECONDS):
                message = await receive()
        except TimeoutError:
            raise CallerStalledError from None
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _answer(send: Send, status: HTTPStatus, detail: str) -> None:
    headers, body = problem(status, detail)
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _pass_back(response: httpx.Response, send: Send) -> None:
    try:
        headers = end_to_end(response.headers.raw)
        start: dict[str, Any] = {"status": response.status_code, "headers": headers}
        await send({"type": "http.response.start", **start})
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})
    except httpx.TransportError:
        return  # without the last message: uvicorn closes, and the caller sees that it is cut
    finally:
        await response.aclose()


async def serve(host: str, port: int, ingest: str, admin: str) -> None:
    """Serve until SIGTERM."""
    # Kept for less long than the services do (30 s), or a request could meet a connection just closed.
    limits = httpx.Limits(max_connections=500, max_keepalive_connections=50, keepalive_expiry=20)
    # trust_env off: a proxy meant for the internet is not for our own machine.
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        config = uvicorn.Config(
            Edge(client, ingest.rstrip("/"), admin.rstrip("/")),
            host=host,
            port=port,
            lifespan="off",
            http=bounded_arrival(_HEAD_SECONDS),
            ws="none",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=5,
        )
        await uvicorn.Server(config).serve()


def main(
    port: Annotated[int, typer.Option(help="The port to serve.")] = 8000,
    ingest: Annotated[str, typer.Option(help="URL of ingest.")] = "http://127.0.0.1:8001",
    admin: Annotated[str, typer.Option(help="URL of admin.")] = "http://127.0.0.1:8005",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the one front door of the embedded stack."""
    asyncio.run(serve(host, port, ingest, admin))


if __name__ == "__main__":
    typer.run(main)

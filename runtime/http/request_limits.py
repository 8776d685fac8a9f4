"""ASGI middleware that checks the Host header and limits the body of each request."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.problem_details import Problem, closing_headers
from runtime.http.protocol import BODY_COMPLETE

BODY_MAX_BYTES: Final = 256 * 1024
"""The limit of every route without its own limit."""
BODY_DEADLINE_SECONDS: Final = 10.0


def allow_all(_: Scope) -> bool:
    """Treat every client as authenticated, so that its body is read."""
    return True


class Uploads(NamedTuple):
    """The limits of multipart bodies, which may contain files. They apply below `path_prefix`."""

    path_prefix: str
    max_bytes: int
    deadline_seconds: float

    def are_in(self, scope: Scope) -> bool:
        """Return True if the request's body is multipart and its path begins with `path_prefix`."""
        return scope["path"].startswith(self.path_prefix) and any(
            name == b"content-type" and value.lower().startswith(b"multipart/form-data")
            for name, value in scope["headers"]
        )


class RequestLimits:
    """Rejects a wrong Host header, and limits the size and the duration of a request's body.

    The app gets an empty body from an unauthenticated client, because the real body is not read. If a body is
    too large or too slow, reading it raises an `HTTPException` (413 or 408). The app turns it into a
    response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: AllowedHosts | None = None,
        authenticated: Callable[[Scope], bool] = allow_all,
        body_max_bytes: Mapping[str, int] = MappingProxyType({}),
        deadline_seconds: float = BODY_DEADLINE_SECONDS,
        uploads: Uploads | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts if hosts and hosts.limited else None
        self._authenticated = authenticated
        self._body_max_bytes = body_max_bytes
        self._least_max_bytes = min(body_max_bytes.values(), default=BODY_MAX_BYTES)
        self._deadline_seconds = deadline_seconds
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._hosts and not self._hosts.allows(scope["headers"]):
            await _misdirected_request()(scope, receive, send)
        elif not _has_body(scope) or self._is_within_limits(scope):
            await self._app(scope, receive, send)
        else:
            await self._serve_body(scope, receive, send)

    def _is_within_limits(self, scope: Scope) -> bool:
        """Return True if the body needs no check: it has arrived completely and is small."""
        return (
            BODY_COMPLETE in scope
            and self._least_max_bytes >= BODY_MAX_BYTES
            and self._authenticated is allow_all
            and any(
                name == b"content-length" and len(value) < len(str(BODY_MAX_BYTES))
                for name, value in scope["headers"]
            )
        )

    async def _serve_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: _BoundedBody | _NoBody
        if self._authenticated(scope):
            limit = self._body_max_bytes.get(scope["path"], BODY_MAX_BYTES)
            deadline_seconds = self._deadline_seconds
            if self._uploads and self._uploads.are_in(scope):
                limit, deadline_seconds = self._uploads.max_bytes, self._uploads.deadline_seconds
            body = _BoundedBody(scope, receive, limit, deadline_seconds)
        else:
            body = _NoBody()

        async def send_response(message: Message) -> None:
            if message["type"] == "http.response.start" and body.expects_continue and not body.reading:
                # The client waits for 100 (Continue) and may or may not send its body now. The next bytes on
                # this connection would be ambiguous.
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        body.expects_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"]
        )
        await self._app(scope, body.receive, send_response)


class _NoBody:
    """Gives the app an empty body and leaves the real one unread. The app then rejects the request itself."""

    reading = expects_continue = False
    _received = False

    async def receive(self) -> Message:
        if self._received:
            return {"type": "http.disconnect"}
        self._received = True
        return {"type": "http.request", "body": b"", "more_body": False}


class _BoundedBody:
    """A body that raises `HTTPException` when it exceeds its limit or its deadline."""

    reading = expects_continue = False

    def __init__(self, scope: Scope, receive: Receive, limit: int, deadline_seconds: float) -> None:
        self._scope = scope
        self._receive = receive
        self._limit = limit
        self._deadline_seconds = deadline_seconds
        self._deadline = 0.0
        self._bytes = 0
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        if not self.reading:
            self._check_declared_length()
            self.reading = True
            self._deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        message = await self._next_message()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            raise self._too_large()
        self._complete = not message.get("more_body", False)
        return message

    async def _next_message(self) -> Message:
        # A timeout costs 5 us, so skip it if the body has arrived.
        if BODY_COMPLETE in self._scope:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time. Send it again.", _CLOSE
            ) from None

    def _check_declared_length(self) -> None:
        for name, value in self._scope["headers"]:
            # Compare the number of digits first: converting a million digits would take seconds.
            if name == b"content-length" and (len(value) > len(str(self._limit)) or int(value) > self._limit):
                raise self._too_large()

    def _too_large(self) -> HTTPException:
        limit = f"{self._limit // 1024} KiB"
        return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may be at most {limit}.")


_CLOSE: Final = {"Connection": "close"}


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )


def _misdirected_request() -> Response:
    body = Problem.build(
        HTTPStatus.MISDIRECTED_REQUEST,
        "This host name is not allowed. Add it to FASTCORE_HTTP_ALLOWED_HOSTS, or use http://localhost.",
    ).to_json()
    response = Response(body, HTTPStatus.MISDIRECTED_REQUEST)
    response.raw_headers = closing_headers(body)
    return response

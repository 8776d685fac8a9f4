"""Serves one route without the app's middleware and without ASGI, for speed (ADR 0053, ADR 0063)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.protocol import BoundedHttpProtocol
from runtime.http.request_limits import BODY_MAX_BYTES
from runtime.http.request_metrics import Observe, duration_observer
from runtime.http.security_headers import with_security_headers

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
Respond: TypeAlias = Callable[[RawHeaders, bytes], Awaitable[Response]]
# The app handles requests with these headers: `origin` for CORS, `expect` for a 100 (Continue).
_HEADERS_FOR_THE_APP: Final = frozenset({b"origin", b"expect"})
# uvicorn's response if an app raises an exception, without its status line.
_INTERNAL_ERROR: Final = (
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\nconnection: close\r\n\r\n"
    b"Internal Server Error"
)


class DirectRoute(NamedTuple):
    """A POST route of the app, and the function that returns its responses. The function must not raise.

    `hosts` are the host names that the app allows. The function gets the headers of a request, with their
    names in lower case, and its body.
    """

    path: str
    hosts: AllowedHosts
    respond: Respond


class _Exchange:
    """A request without a scope, and its response: what uvicorn reads of a `RequestResponseCycle`."""

    __slots__ = ("body", "disconnected", "headers", "keep_alive", "response_complete")

    more_body = response_started = False
    message_event = asyncio.Event()  # uvicorn sets it, and nobody waits for it

    def __init__(self, headers: RawHeaders, *, keep_alive: bool) -> None:
        self.headers = headers
        self.body: list[bytes] = []
        self.keep_alive = keep_alive
        self.disconnected = self.response_complete = False


class DirectHttpProtocol(BoundedHttpProtocol):
    """Passes requests to the function of `route`, or to the app if a middleware must handle them.

    The app gets a request if its body is large or not in the same chunk of data as the end of its head, if it
    arrives before the response to an earlier request, if its host name is not allowed, or if it has a header
    that a middleware handles. Function and app return the same response.
    """

    route: DirectRoute
    route_url: bytes
    observe: Observe
    # The current request, until its body is complete or the app gets it.
    _undecided: _Exchange | None = None

    def on_message_begin(self) -> None:
        """Begin a request. Its scope is created only if the app gets it."""
        if self._resuming or self._is_responding:
            super().on_message_begin()
            return
        self._in_head = self._progress = True
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.scope = None  # type: ignore[assignment]

    def start_request(self, version: str, names: list[bytes]) -> None:
        """Wait for the body if the request may be answered directly. Otherwise start the app."""
        parser, hosts = self.parser, self.route.hosts
        if (
            self.url == self.route_url
            and parser.get_method() == b"POST"
            and self.scope is None  # the responses to earlier requests were complete when this request began
            and not parser.should_upgrade()
            and _HEADERS_FOR_THE_APP.isdisjoint(names)
            and (not hosts.limited or hosts.allows(self.headers))
        ):
            keep_alive = parser.should_keep_alive() and version != "1.0" and not self._is_last
            self._undecided = _Exchange(self.headers, keep_alive=keep_alive)
            return
        self._start_app(version, names)

    def _start_app(self, version: str, names: list[bytes]) -> None:
        if self.scope is None:
            url, headers, expects = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue, self._in_head = url, expects, False
            self.headers += headers  # the list that the scope has
        super().start_request(version, names)

    def _feed(self, data: bytes) -> None:
        try:
            super()._feed(data)
        finally:  # also if the body is malformed, as the base class has started the app by then
            if self._undecided is not None:
                self._pass_to_app(self._undecided)

    def _pass_to_app(self, exchange: _Exchange) -> None:
        """Start the app for an undecided request, with what has arrived of the body."""
        self._undecided = None
        self._start_app("", [])
        self.cycle.keep_alive = exchange.keep_alive  # as it was at the end of the head
        if exchange.body:
            super().on_body(b"".join(exchange.body))

    def on_body(self, body: bytes) -> None:
        """Collect a part of an undecided request's body, or pass the part to the app."""
        if self._undecided is None:
            super().on_body(body)
        else:
            self._progress = True
            self._undecided.body.append(body)

    def on_message_complete(self) -> None:
        """Answer an undecided request, unless its body is large."""
        exchange = self._undecided
        if exchange is None:
            super().on_message_complete()
            return
        body = b"".join(exchange.body)
        if len(body) > BODY_MAX_BYTES:
            self._pass_to_app(exchange)
            super().on_message_complete()
            return
        self._undecided = None
        exchange.body.clear()  # an idle connection keeps its last exchange
        self.cycle = exchange  # type: ignore[assignment]
        task = self.loop.create_task(self._answer(exchange, body))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)  # a stop of the server waits for it

    async def _answer(self, exchange: _Exchange, body: bytes) -> None:
        began, status = time.perf_counter(), 500
        try:
            response = await self.route.respond(exchange.headers, body)
            if self.flow.write_paused:
                await self.flow.drain()
        except BaseException as error:  # as uvicorn does, also for a task that a stop cancels
            self.logger.error("Exception in ASGI application\n", exc_info=error)  # noqa: TRY400 - as uvicorn
            exchange.keep_alive = False
            self._write(exchange, STATUS_LINE[500], [], _INTERNAL_ERROR)
        else:
            headers = with_security_headers(response.raw_headers)
            end = b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n"
            status = response.status_code
            self._write(exchange, STATUS_LINE[status], headers, end + response.body)
        self.observe(status, time.perf_counter() - began)

    def _write(self, exchange: _Exchange, status_line: bytes, headers: RawHeaders, rest: bytes) -> None:
        """Write a whole response, and end the request as `RequestResponseCycle.send` does."""
        if exchange.disconnected or self.transport.is_closing():
            return
        parts = [status_line]
        for name, value in self.server_state.default_headers + headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(rest)
        self.transport.write(b"".join(parts))
        exchange.response_complete = True
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()


def direct_protocol(seconds: float, route: DirectRoute) -> type[DirectHttpProtocol]:
    """Return a subclass of the protocol for this route that allows `seconds` for a request's head."""
    attributes: dict[str, Any] = {
        "head_timeout_seconds": seconds,
        "route": route,
        "route_url": route.path.encode(),
        "observe": staticmethod(duration_observer("POST", route.path)),
    }
    return type("DirectHttpProtocol", (DirectHttpProtocol,), attributes)

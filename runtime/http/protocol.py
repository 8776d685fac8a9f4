"""How a request arrives: uvicorn's HTTP/1.1 protocol with the bounds and the strictness that it lacks.

What a request says is judged elsewhere, and its body is bounded in `runtime.http.request_limits`.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from runtime.http.problem_details import Problem, closing_headers

BODY_COMPLETE: Final = "fastcore.whole"
"""Set in a scope whose body is here: who reads it needs no deadline."""

HEAD_MAX_BYTES: Final = 64 * 1024
HEADERS_MAX: Final = 256
PIPELINE_MAX: Final = 16
# How long a client may take to read its response before the connection is dropped.
UNREAD_SECONDS: Final = 30.0
# How long the rest of a refused request is read and dropped: closing on unread bytes resets the
# connection, and the response is lost with it.
LINGER_SECONDS: Final = 1.0
_UPGRADE_HEADERS: Final = (b"connection", b"upgrade")


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but a connection whose request does not begin in time is closed.

    Else two thousand clients that send a header line a minute hold two thousand connections for ever.
    The head is bounded in bytes as well, and so are trailers and chunk extensions.
    """

    head_timeout_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_head = False
    _hosts = 0
    _coding = b"chunked"
    _progress = False
    # Bytes since the last one that began a message, ended a head or belonged to a body.
    _overhead_bytes = 0
    _piece_bytes = 0
    _refused = False
    # Set while a head is fed again without the offer to upgrade, which the parser would stop at.
    _resuming = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and expect the rest of a head that did not come whole.

        A clock for each head that does would cost 3 us. Also after bytes that begin none, as empty lines:
        they end uvicorn's keep-alive timeout.
        """
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._progress, self._piece_bytes = False, len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if not self._refused:
                self._refuse(HTTPStatus.BAD_REQUEST, "This is not a valid HTTP/1.1 request.")
        if self._refused:
            return
        self._overhead_bytes = 0 if self._progress else self._overhead_bytes + len(data)
        if self._overhead_bytes > HEAD_MAX_BYTES:
            self._refuse_head()
        elif self._deadline is None and (self._in_head or not self._answering):
            self._expect_head()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._refused:
                    return
                if self.scope["method"] == "CONNECT":
                    self._refuse(HTTPStatus.BAD_REQUEST, "This server is no proxy: CONNECT is not supported.")
                    return
                # A server may ignore an offer (RFC 9110, 7.8), but the parser ends its message there and
                # would read the body as the next request. A new parser reads on, from the same head
                # without the offer.
                self._resume_without_upgrade()
                data = data[upgrade.args[0] :]
            else:
                return

    def _resume_without_upgrade(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        head = [f"{self.scope['method']} / HTTP/{self.scope['http_version']}".encode()]
        head += [name + b": " + value for name, value in self.headers if name not in _UPGRADE_HEADERS]
        if not self.cycle.keep_alive:
            head.append(b"connection: close")
        self._resuming = True
        self.parser.feed_data(b"\r\n".join([*head, b"\r\n"]))

    def on_message_begin(self) -> None:
        """See a later request begin; until it does, the keep-alive timeout counts."""
        if self._resuming:
            return
        super().on_message_begin()
        self._in_head = self._progress = True
        self._hosts, self._coding = 0, b"chunked"

    def on_url(self, url: bytes) -> None:
        """Take the target."""
        if not self._resuming:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. A trailer is dropped: it must not pass for a header that a proxy has checked."""
        if not self._in_head:
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding":
            self._coding = value.strip().lower()
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Stop the clock, and start the answer to a head that is within its bounds."""
        if self._resuming:
            self._resuming = False
            return
        # A head that began and ended in one small piece is within its bounds: it is not measured.
        whole = self._progress and self._piece_bytes <= HEAD_MAX_BYTES
        self._in_head, self._progress = False, True
        self._stop_expecting()
        version = self.parser.get_http_version()
        too_long = not whole and (
            sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url) > HEAD_MAX_BYTES
        )
        if too_long or len(self.headers) > HEADERS_MAX:
            self._refuse_head()
        elif version not in ("1.0", "1.1"):
            self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Use HTTP/1.1.")
        elif self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            self._refuse(HTTPStatus.BAD_REQUEST, "Send exactly one Host header (RFC 9112, 3.2).")
        elif self._coding != b"chunked":
            self._refuse(HTTPStatus.NOT_IMPLEMENTED, "Send the body without a transfer coding, or chunked.")
        elif b"#" in self.url:
            self._refuse(HTTPStatus.BAD_REQUEST, "A request target has no fragment: leave out the '#'.")
        elif len(self.pipeline) >= PIPELINE_MAX:
            self._close_after_answers()
        else:
            super().on_headers_complete()
            return
        # Ends the parsing: nothing behind a refused head is read as a request.
        raise ValueError("refused")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Say that the body is here; mostly it came with the head, before the app is even called."""
        if self.parser.should_upgrade():
            return  # `_feed` reads on
        super().on_message_complete()
        self.scope[BODY_COMPLETE] = True  # type: ignore[typeddict-unknown-key]

    def pause_writing(self) -> None:
        """Give a client that does not read its answer a deadline."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the clock of the client that reads again."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._stop_expecting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_timeout_seconds, self._give_up)

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    @property
    def _answering(self) -> bool:
        # uvicorn's type does not say that there is no cycle before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _give_up(self) -> None:
        # A pipelined head may be late while the answer before it is still on its way.
        if self._answering:
            self._expect_head()
        else:
            self.timeout_keep_alive_handler()

    def _refuse_head(self) -> None:
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"A request's head may hold {HEAD_MAX_BYTES // 1024} KiB in {HEADERS_MAX} headers at most.",
        )

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer a request that no service sees, after those that came before it on this connection."""
        self._refused = True
        body = Problem.build(status, detail).to_json()
        headers = [*self.server_state.default_headers, *closing_headers(body)]
        if self._answering:
            cycle = self.cycle
            if not cycle.more_body:  # what is refused came after the last whole request
                self._close_after_answers()
                return
            if self.pipeline:  # its turn has not come
                self.pipeline[0] = (cycle, _answer(status, headers, body))
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if not self._answering or not self.cycle.response_started:
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self._close_slowly()

    def _close_after_answers(self) -> None:
        self._refused = True
        self._stop_expecting()
        self.cycle.keep_alive = False

    def _close_slowly(self) -> None:
        """Close once the client has had time to read the response."""
        self._stop_expecting()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()


def _answer(status: HTTPStatus, headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def bounded_protocol(seconds: float) -> type[BoundedHttpProtocol]:
    """Return the protocol with this deadline."""
    attributes: dict[str, Any] = {"head_timeout_seconds": seconds}
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), attributes)

"""uvicorn's HTTP/1.1 protocol with limits for time and size, and with strict framing.

uvicorn has no such limits on httptools (https://github.com/Kludex/uvicorn/issues/157). The body's size and
deadline are checked in `runtime.http.request_limits`.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from runtime.http.problem_details import Problem, closing_headers
from runtime.workarounds.uvicorn import CorrectedHttpProtocol

BODY_COMPLETE: Final = "fastcore.body_complete"
"""The key in a scope whose body has arrived completely. Reading that body needs no deadline."""

HEAD_MAX_BYTES: Final = 64 * 1024
HEADERS_MAX: Final = 256
PIPELINE_MAX: Final = 16
# How long a client may leave its response unread before the connection is aborted.
UNREAD_TIMEOUT_SECONDS: Final = 30.0
# How long the rest of a rejected request is read and dropped. Closing a socket with unread bytes resets the
# connection, and the client loses the response.
LINGER_SECONDS: Final = 1.0


class BoundedHttpProtocol(CorrectedHttpProtocol):
    """Closes a connection whose request head arrives too slowly, and limits the bytes outside of bodies.

    Without a deadline for the head, 2,000 clients that send one header line a minute hold 2,000 connections
    forever. The limit in bytes applies to the head, to trailer fields and to chunk extensions.
    """

    head_timeout_seconds = 10.0
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    # True if the current chunk of data began a message, ended a head or held bytes of a body.
    _progress = False
    # Bytes received since the last progress.
    _overhead_bytes = 0
    _chunk_bytes = 0
    _rejected = False
    # True if the server stops: the next response ends the connection.
    _is_last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Parse a chunk of data. If the head of a request is incomplete afterwards, start the timer.

        A head that arrives in one chunk needs no timer, which saves 3 us. Bytes before a request, such as
        empty lines, start the timer too, because they cancel uvicorn's keep-alive timeout.
        """
        if self._rejected:
            return
        self._unset_keepalive_if_required()
        self._progress, self._chunk_bytes = False, len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if not self._rejected:
                self._reject(HTTPStatus.BAD_REQUEST, "This is not a valid HTTP/1.1 request.")
        if self._rejected:
            return
        self._overhead_bytes = 0 if self._progress else self._overhead_bytes + len(data)
        if self._overhead_bytes > HEAD_MAX_BYTES:
            self._reject_large_head()
        elif self._head_timer is None and (self._in_head or not self._is_responding):
            self._start_head_timer()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._rejected:
                    return
                if self.scope["method"] == "CONNECT":
                    self._reject(HTTPStatus.BAD_REQUEST, "This server is no proxy: CONNECT is not supported.")
                    return
                self.resume_without_upgrade()
                data = data[upgrade.args[0] :]
            else:
                return

    def on_message_begin(self) -> None:
        """Note that a request began, so that the count of bytes outside of bodies restarts at 0."""
        super().on_message_begin()
        if not self._resuming:
            self._progress = True

    def on_head(self) -> None:
        """Stop the timer, and start the app if the head is valid and within its limits."""
        # A head that began and ended in one small chunk is within its limits and is not measured.
        in_one_chunk = self._progress and self._chunk_bytes <= HEAD_MAX_BYTES
        self._progress = True
        self._stop_head_timer()
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        too_large = not in_one_chunk and (
            sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url) > HEAD_MAX_BYTES
        )
        if too_large or len(self.headers) > HEADERS_MAX:
            self._reject_large_head()
        elif version not in ("1.0", "1.1"):
            self._reject(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Use HTTP/1.1.")
        elif hosts > 1 or (hosts == 0 and version == "1.1"):
            self._reject(HTTPStatus.BAD_REQUEST, "Send exactly one Host header (RFC 9112, 3.2).")
        elif b"transfer-encoding" in names and self._transfer_coding() != b"chunked":
            self._reject(HTTPStatus.NOT_IMPLEMENTED, "Send the body without a transfer coding, or chunked.")
        elif b"#" in self.url:
            self._reject(HTTPStatus.BAD_REQUEST, "A request target has no fragment: leave out the '#'.")
        elif len(self.pipeline) >= PIPELINE_MAX:
            self._close_after_responses()
        else:
            self.start_request(version, names)
            return
        # Stops the parser: nothing behind a rejected head is read as a request.
        raise ValueError("rejected")

    def start_request(self, version: str, names: list[bytes]) -> None:
        """Start the app for a request whose head is valid.

        `version` is 1.0 or 1.1, and `names` are the names of the headers.
        """
        del version, names
        super().on_head()
        if self._is_last:
            self.cycle.keep_alive = False

    def end_with_next_response(self) -> None:
        """Close the connection after the response to its current or next request, which says so."""
        self._is_last = True
        if self._is_responding:
            self.cycle.keep_alive = False

    def _transfer_coding(self) -> bytes:
        return [value for name, value in self.headers if name == b"transfer-encoding"][-1].strip().lower()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body to the app."""
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Mark the body as complete, so that reading it needs no deadline."""
        if self.parser.should_upgrade():
            return  # `_feed` continues with the body
        super().on_message_complete()
        self.scope[BODY_COMPLETE] = True  # type: ignore[typeddict-unknown-key]

    def pause_writing(self) -> None:
        """Start the timer that aborts the connection: the client does not read the response."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_TIMEOUT_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer that aborts the connection: the client has resumed reading the response."""
        self._stop_unread_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_head_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_seconds, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    @property
    def _is_responding(self) -> bool:
        # uvicorn declares no Optional, but there is no cycle before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _on_head_timeout(self) -> None:
        # A pipelined head may be late while the response before it is being sent.
        if self._is_responding:
            self._start_head_timer()
        else:
            self.timeout_keep_alive_handler()

    def _reject_large_head(self) -> None:
        self._reject(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"A request's head may hold {HEAD_MAX_BYTES // 1024} KiB in {HEADERS_MAX} headers at most.",
        )

    def _reject(self, status: HTTPStatus, detail: str) -> None:
        """Answer a request with a problem without calling the app.

        Responses to earlier requests on the connection are sent first. Then the connection is closed.
        """
        self._rejected = True
        body = Problem.build(status, detail).to_json()
        headers = [*self.server_state.default_headers, *closing_headers(body)]
        if self._is_responding:
            cycle = self.cycle
            if not cycle.more_body:  # the rejected bytes follow the last complete request
                self._close_after_responses()
                return
            if self.pipeline:  # earlier responses come first
                self.pipeline[0] = (cycle, _problem_app(status, headers, body))
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if not self._is_responding or not self.cycle.response_started:
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self._close_slowly()

    def _close_after_responses(self) -> None:
        self._rejected = True
        self._stop_head_timer()
        self.cycle.keep_alive = False

    def _close_slowly(self) -> None:
        """Close the connection after the client has had time to read the response."""
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()


def _problem_app(status: HTTPStatus, headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def bounded_protocol(seconds: float) -> type[BoundedHttpProtocol]:
    """Return a subclass of the protocol that allows `seconds` for a request's head."""
    attributes: dict[str, Any] = {"head_timeout_seconds": seconds}
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), attributes)

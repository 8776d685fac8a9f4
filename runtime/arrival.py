"""A deadline on the arrival of a request's head, which uvicorn has not. Who reads a body bounds it."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

WHOLE: Final = "fastcore.whole"
"""Set in a scope whose body is here: who reads it needs no deadline."""


class BoundedArrival(HttpToolsProtocol):
    """uvicorn's protocol, but a connection whose request does not begin in time is closed.

    Else two thousand clients that send a header line a minute hold two thousand connections for ever.
    """

    head_timeout_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Expect the rest of a head that did not come whole; a clock for each that does would cost 3 us.

        Also after bytes that begin none, as empty lines: they end uvicorn's keep-alive timeout.
        """
        super().data_received(data)
        if self._deadline is None and (self._in_head or not self._answering):
            self._expect_head()

    def on_message_begin(self) -> None:
        """See a later request begin; until it does, the keep-alive timeout counts."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._in_head = False
        self._stop_expecting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Say that the body is here; mostly it came with the head, before the app is even called."""
        super().on_message_complete()
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._stop_expecting()
        super().connection_lost(exc)

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


def bounded_arrival(seconds: float) -> type[BoundedArrival]:
    """Return the protocol with this deadline."""
    attributes: dict[str, Any] = {"head_timeout_seconds": seconds}
    return type("BoundedArrival", (BoundedArrival,), attributes)

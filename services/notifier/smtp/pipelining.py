"""aiosmtplib's protocol, extended by SMTP pipelining (RFC 2920): several commands in one write.

Uses private names of aiosmtplib 5.1.3. `tests/unit/notifier/smtp/test_pipelining.py` fails if they change.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import aiosmtplib.smtp
from aiosmtplib import SMTPResponse
from aiosmtplib.protocol import SMTPProtocol

EXTENSION: Final = "pipelining"


class PipeliningProtocol(SMTPProtocol):
    """Keeps all replies that arrive together. aiosmtplib's own protocol keeps only the first one.

    `expected` is the number of pipelined commands whose replies have not been read.
    """

    _response_waiter: "asyncio.Future[SMTPResponse] | None"
    expected = 0

    def write_pipelined(self, commands: Sequence[bytes]) -> None:
        """Write several commands. Call `read_response` once for each of them."""
        self.write(b"".join(commands))
        self.expected = len(commands)

    def data_received(self, data: bytes) -> None:
        """Receive replies."""
        waiter = self._response_waiter
        if self.expected and waiter is not None and (waiter.done() or not self._response_pending):
            self._buffer.extend(data)  # read_response reads it
        else:
            super().data_received(data)

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:  # noqa: ASYNC109 - aiosmtplib's
        """Return the next reply."""
        if self.expected:
            self.expected -= 1
            if self._buffer and (reply := self._read_response_from_buffer()):
                return reply
        return await super().read_response(timeout)


# aiosmtplib offers no other way to choose the protocol of a connection.
_module: Any = aiosmtplib.smtp
_module.SMTPProtocol = PipeliningProtocol

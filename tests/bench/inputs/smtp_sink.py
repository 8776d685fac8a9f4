"""`python -m tests.bench.inputs.smtp_sink PORT`: a mail server that counts all mails and stores none.

On a bare protocol: aiosmtpd takes about a millisecond for a mail, and would be what is measured. It offers
PIPELINING, as Postfix, Exim and the large providers do. XTAKEN returns the number of mails accepted since the
last XTAKEN, and the seconds from the first to the last of them.
"""

import asyncio
import time
from typing import Annotated, cast

import typer
import uvloop

ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n",
    b"MAIL": b"250 2.1.0 OK\r\n",
    b"RCPT": b"250 2.1.5 OK\r\n",
    b"RSET": b"250 2.0.0 OK\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
taken: list[float] = []


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._seen = b""
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while True:
            head, end, rest = self._seen.partition(b"\r\n.\r\n" if self._in_body else b"\r\n")
            if not end:
                return
            self._seen = rest
            if self._in_body:
                self._in_body = False
                taken.append(time.monotonic())
                self._transport.write(b"250 2.0.0 taken\r\n")
            elif head.upper() == b"DATA":
                self._in_body = True
                self._transport.write(b"354 go on\r\n")
            elif head == b"XTAKEN":
                seconds = taken[-1] - taken[0] if taken else 0
                self._transport.write(f"250 {len(taken)} {seconds}\r\n".encode())
            elif head == b"XCLEAR":
                taken.clear()
                self._transport.write(b"250 cleared\r\n")
            else:
                self._transport.write(ANSWERS.get(head[:4].upper(), b"502 5.5.1 not known\r\n"))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


def main(port: Annotated[int, typer.Argument(help="Where to listen, on 127.0.0.1.")]) -> None:
    """Accept mails until stopped."""
    uvloop.run(_serve(port))


if __name__ == "__main__":
    typer.run(main)

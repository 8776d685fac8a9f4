"""A mail server on the simulated network, which a schedule makes refuse, hang or drop at each phase."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

from tests.schedules.simulation.event_loop import Process
from tests.schedules.simulation.network import Network

ADDRESS: Final = ("mail.example.com", 2525)
PHASES: Final = ("connect", "mail", "rcpt", "data", "body")
# What happens at a phase. The last two only differ from `drop` and `hang` at the body: the mail is accepted.
FAILURES: Final = ("defer", "refuse", "limit", "hang", "drop", "accept_and_drop", "accept_and_hang")
UNKNOWN_MAILBOX: Final = "nobody-"
GREYLISTED: Final = "grey-"

_REPLIES: Final = {
    "defer": b"450 4.2.0 Try again later",
    "refuse": b"550 5.1.1 No such mailbox",
    "limit": b"421 4.7.0 Too many connections",
}
_MESSAGE_ID: Final = re.compile(rb"^message-id:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)


class SmtpServer:
    """The server. `on_accept` gets the client's process and the Message-ID of each accepted mail."""

    def __init__(self, network: Network, on_accept: Callable[[Process, str], None]) -> None:
        self._network = network
        self.on_accept = on_accept
        self.connections: list[_Connection] = []
        self.seen: set[str] = set()  # the greylisted recipients that tried before
        self._faults: list[tuple[str, str]] = []
        self._stops = 0
        self._listen()

    def _listen(self) -> None:
        self._network.listen(ADDRESS, lambda: _Connection(self))

    def stop(self) -> None:
        """Refuse and cut all connections."""
        self._stops += 1
        self._network.close(ADDRESS)

    def start(self) -> None:
        """Accept connections again, once every `stop` has had its `start`."""
        self._stops -= 1
        if not self._stops:
            self._listen()

    def fail(self, phase: str, way: str) -> None:
        """Fail in this way at this phase from now on."""
        self._faults.append((phase, way))

    def work(self, phase: str, way: str) -> None:
        """Fail so no more. Connections that hang are cut, as by a restart of the server."""
        self._faults.remove((phase, way))
        for connection in [each for each in self.connections if each.hangs]:
            connection.drop()

    def way_at(self, phase: str) -> str | None:
        """Return what happens at this phase now, or None if the server works."""
        return next((way for at, way in self._faults if at == phase), None)


class _Connection(asyncio.Protocol):
    """One connection of a client."""

    _transport: Any

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._buffer = b""
        self._in_body = False
        self._recipients = 0
        self.hangs = False
        server.connections.append(self)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._answer("connect", b"220 mail.example.com ESMTP")

    def connection_lost(self, _: Exception | None) -> None:
        if self in self._server.connections:
            self._server.connections.remove(self)

    def drop(self) -> None:
        """Close the connection without a reply."""
        self._transport.close()
        self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self.hangs and not self._transport.is_closing():
            if self._in_body:
                body, end, rest = (b"\r\n" + self._buffer).partition(b"\r\n.\r\n")
                if not end:
                    return
                self._buffer, self._in_body = rest, False
                self._receive_body(body)
            else:
                line, end, rest = self._buffer.partition(b"\r\n")
                if not end:
                    return
                self._buffer = rest
                self._receive_command(line)

    def _receive_command(self, line: bytes) -> None:
        command = line[:4].upper()
        if command == b"EHLO":
            self._reply(b"250-mail.example.com\r\n250-PIPELINING\r\n250 SMTPUTF8")
        elif command == b"MAIL":
            self._recipients = 0
            self._answer("mail", b"250 2.1.0 OK")
        elif command == b"RCPT":
            self._receive_recipient(line.decode().partition("<")[2])
        elif command == b"DATA" and not self._recipients:
            self._reply(b"554 5.5.1 No valid recipients")
        elif command == b"DATA":
            self._in_body = self._answer("data", b"354 Go on")
        elif command == b"QUIT":
            self._reply(b"221 2.0.0 Bye")
            self._transport.close()
        else:  # RSET
            self._reply(b"250 2.0.0 OK")

    def _receive_recipient(self, address: str) -> None:
        is_new = address not in self._server.seen
        if address.startswith(UNKNOWN_MAILBOX):
            self._reply(_REPLIES["refuse"])
        elif address.startswith(GREYLISTED) and is_new:
            self._server.seen.add(address)
            self._reply(_REPLIES["defer"])
        else:
            self._recipients += self._answer("rcpt", b"250 2.1.5 OK")

    def _receive_body(self, body: bytes) -> None:
        way = self._server.way_at("body") or ""
        if not way or way.startswith("accept"):
            found = _MESSAGE_ID.search(body)
            assert found, body[:400]
            self._server.on_accept(self._transport.process, found[1].decode())
        self._answer("body", b"250 2.0.0 Queued")

    def _answer(self, phase: str, reply: bytes) -> bool:
        """Reply, or do what the server does at this phase now. Return True if it was the reply."""
        way = self._server.way_at(phase)
        if way is None:
            self._reply(reply)
        elif way in _REPLIES:
            self._reply(_REPLIES[way])
            if way == "limit":
                self._transport.close()
        elif way.endswith("hang"):
            self.hangs = True
        else:
            self.drop()
        return way is None

    def _reply(self, reply: bytes) -> None:
        self._transport.write(reply + b"\r\n")

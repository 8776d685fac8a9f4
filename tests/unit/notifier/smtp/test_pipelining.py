"""A connection to a server that supports PIPELINING: the commands before a body in one write (RFC 2920)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import aiosmtplib
import pytest

from services.notifier.mail.message import Mail
from services.notifier.smtp.outcome import MailStatus, Phase
from services.notifier.smtp.pipelining import PipeliningProtocol
from services.notifier.smtp.session import Session, StaleSessionError, outcome_of_exception

MAIL = Mail("hello@fast.example", ("ada@example.com", "bob@example.com"), b"Subject: x\r\n\r\nx\r\n", False)
CLOSE = b""


class Server:
    """A mail server with scripted replies. It answers all lines that it reads together in one write.

    `replies` has the next replies to each command. `CLOSE` closes the connection.
    """

    def __init__(self) -> None:
        self.extension = "PIPELINING"
        self.reads = list[list[str]]()
        self.replies = dict[str, list[bytes]]()
        self.split: Callable[[bytes], list[bytes]] = lambda replies: [replies]
        self.closed = asyncio.Event()
        self._in_body = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while read := await reader.read(65536):
            words = [word for line in read.decode().splitlines() if (word := self._word(line))]
            self.reads.append(words)
            replies = [self._reply_to(word) for word in words]
            kept = replies[: replies.index(CLOSE)] if CLOSE in replies else replies
            for piece in self.split(b"".join(kept)):
                writer.write(piece)
                await asyncio.sleep(0.005)
            if kept != replies:
                break
        writer.close()
        self.closed.set()

    def _word(self, line: str) -> str:
        if self._in_body:
            return "." if line == "." else ""
        return line.split(maxsplit=1)[0].upper()

    def _reply_to(self, word: str) -> bytes:
        usual = {"EHLO": f"250-here\r\n250 {self.extension}\r\n".encode(), "DATA": b"354 go on\r\n"}
        scripted = self.replies.get(word)
        reply = scripted.pop(0) if scripted else usual.get(word, b"250 2.0.0 well\r\n")
        self._in_body = reply.startswith(b"354")
        return reply


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def session(server: Server) -> AsyncIterator[Session]:
    """A session that has connected, and has not sent a mail yet."""
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", port=port, start_tls=False, local_hostname="fast.example"
        )
        made = Session(client)
        await made.prepare()
        server.reads.clear()
        yield made
        client.close()
        await server.closed.wait()


async def send_next(session: Session) -> MailStatus:
    """Send a mail on the connection of the mail before."""
    session.used_at, session.clean, session.refused = time.monotonic(), False, []
    await session.prepare()
    assert await session.send_envelope(MAIL) is None
    return (await session.send_body(MAIL, 5)).status


@pytest.mark.parametrize("size", [1, 3, 26, 1000])
async def test_the_envelope_is_one_write_however_the_replies_arrive(
    session: Session, server: Server, size: int
) -> None:
    server.replies["MAIL"] = [b"250-2.1.0 well\r\n250 2.1.0 known\r\n"]
    server.split = lambda replies: [replies[at : at + size] for at in range(0, len(replies), size)]
    assert await session.send_envelope(MAIL) is None
    assert (await session.send_body(MAIL, 5)).status is MailStatus.SENT
    assert server.reads == [["MAIL", "RCPT", "RCPT", "DATA"], ["."]]


async def test_without_pipelining_each_command_waits_for_its_reply(session: Session, server: Server) -> None:
    server.extension = "SIZE"
    await session.client.ehlo()
    server.reads.clear()
    assert await session.send_envelope(MAIL) is None
    assert server.reads == [["MAIL"], ["RCPT"], ["RCPT"], ["DATA"]]


async def test_a_refused_sender_leaves_the_connection_usable(session: Session, server: Server) -> None:
    server.replies = {"MAIL": [b"550 5.7.1 no\r\n"], "RCPT": [b"503 no\r\n"] * 2, "DATA": [b"503 no\r\n"]}
    outcome = await session.send_envelope(MAIL)
    assert outcome is not None
    assert (outcome.phase, outcome.code) == (Phase.MAIL, 550)
    assert await send_next(session) is MailStatus.SENT


async def test_a_body_that_no_recipient_gets_is_empty(session: Session, server: Server) -> None:
    # Some servers ask for the body although they have refused every recipient.
    server.replies = {"RCPT": [b"550 5.1.1 no\r\n", b"450 4.2.1 later\r\n"], ".": [b"554 5.5.1 no\r\n"]}
    outcome = await session.send_envelope(MAIL)
    assert outcome is not None
    assert (outcome.phase, outcome.status) == (Phase.RCPT, MailStatus.WAITING)
    assert server.reads == [["MAIL", "RCPT", "RCPT", "DATA"], ["."]]
    assert await send_next(session) is MailStatus.SENT


async def test_one_refused_recipient_does_not_stop_the_other(session: Session, server: Server) -> None:
    server.replies["RCPT"] = [b"550 5.1.1 no\r\n"]
    assert await session.send_envelope(MAIL) is None
    outcome = await session.send_body(MAIL, 5)
    assert (outcome.status, len(session.refused)) == (MailStatus.SENT, 1)


async def test_a_421_to_a_recipient_ends_the_connection(session: Session, server: Server) -> None:
    server.replies["RCPT"] = [b"250 2.1.5 well\r\n", b"421 4.3.2 going down\r\n"]
    outcome = await session.send_envelope(MAIL)
    assert outcome is not None
    assert (outcome.phase, outcome.status) == (Phase.RCPT, MailStatus.UNAVAILABLE)
    assert not session.client.is_connected


@pytest.mark.parametrize(("word", "phase"), [("RCPT", Phase.RCPT), ("DATA", Phase.DATA)])
async def test_a_lost_connection_has_the_phase_of_the_missing_reply(
    session: Session, server: Server, word: str, phase: Phase
) -> None:
    server.replies[word] = [CLOSE]
    with pytest.raises(aiosmtplib.SMTPServerDisconnected) as error:
        await session.send_envelope(MAIL)
    assert outcome_of_exception(error.value, session.phase).phase is phase
    assert session.phase is phase


@pytest.mark.parametrize("reply", [CLOSE, b"421 4.4.2 idle\r\n"])
async def test_a_pooled_connection_that_was_closed_is_stale(
    session: Session, server: Server, reply: bytes
) -> None:
    session.used_at = time.monotonic()
    server.replies["MAIL"] = [reply]
    with pytest.raises(StaleSessionError):
        await session.send_envelope(MAIL)


@pytest.mark.parametrize("address", ["ada@example.com>\r\nDATA", "ada@example.com> SIZE=1", "<a@b"])
async def test_an_address_cannot_add_a_command_or_a_parameter(
    session: Session, server: Server, address: str
) -> None:
    with pytest.raises(ValueError, match="envelope"):
        await session.send_envelope(Mail("hello@fast.example", (address,), b"", False))
    assert server.reads == []


async def test_replies_that_arrive_before_the_first_is_read_are_kept(session: Session) -> None:
    protocol = session.client.protocol
    assert isinstance(protocol, PipeliningProtocol)
    protocol.write_pipelined([b"", b"", b""])
    first = asyncio.create_task(protocol.read_response())
    await asyncio.sleep(0)
    for reply in (b"250 first\r\n", b"250 sec", b"ond\r\n", b"354 third\r\n"):
        protocol.data_received(reply)
    replies = [await first, await protocol.read_response(), await protocol.read_response()]
    assert [reply.message for reply in replies] == ["first", "second", "third"]

"""A pooled connection: its commands, and when it is considered dead."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiosmtplib
import pytest

from services.notifier.mail.message import Mail
from services.notifier.smtp import session as module
from services.notifier.smtp.session import Session

MAIL = Mail("hello@fast.example", ("ada@example.com",), b"Subject: x\r\n\r\nx\r\n", False)


class Server:
    """A mail server that records the commands and delays its reply to MAIL."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.seconds = 0.0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            word = line.split()[0].decode().upper()
            self.commands.append(word)
            if word == "MAIL":
                await asyncio.sleep(self.seconds)
            writer.write(b"354 go on\r\n" if word == "DATA" else b"250 well\r\n")
        writer.close()
        await writer.wait_closed()
        self.closed.set()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def pooled(server: Server) -> AsyncIterator[Session]:
    """A session that has just sent a mail."""
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        session = Session(
            aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="fast.example")
        )
        await session.prepare()
        assert await session.send_envelope(MAIL) is None
        session.used_at = time.monotonic()
        server.commands.clear()
        yield session
        session.client.close()
        await server.closed.wait()


async def test_regression_a_slow_reply_to_mail_does_not_end_the_session(
    pooled: Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RSET_SECONDS", 0.1)
    server.seconds = 0.3
    await pooled.prepare()
    assert await pooled.send_envelope(MAIL) is None
    assert server.commands == ["MAIL", "RCPT", "DATA"]


async def test_an_idle_session_is_probed_with_rset(pooled: Session, server: Server) -> None:
    pooled.used_at -= module.PROBE_AFTER_SECONDS
    await pooled.prepare()
    assert await pooled.send_envelope(MAIL) is None
    assert server.commands == ["RSET", "MAIL", "RCPT", "DATA"]

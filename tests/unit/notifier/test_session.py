"""A kept session: what is said on it, and when it is taken for dead."""

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
    """A mail server that takes its time over MAIL and notes what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.seconds = 0.0
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            word = line.split()[0].decode().upper()
            self.said.append(word)
            if word == "MAIL":
                await asyncio.sleep(self.seconds)
            writer.write(b"354 go on\r\n" if word == "DATA" else b"250 well\r\n")
        writer.close()
        await writer.wait_closed()
        self.left.set()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def kept(server: Server) -> AsyncIterator[Session]:
    """A session on which a mail was taken just now."""
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        session = Session(
            aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="fast.example")
        )
        await session.ready()
        assert await session.envelope(MAIL) is None
        session.used_at = time.monotonic()
        server.said.clear()
        yield session
        session.client.close()
        await server.left.wait()


async def test_regression_a_server_that_is_slow_at_mail_does_not_lose_its_sessions(
    kept: Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RSET_SECONDS", 0.1)
    server.seconds = 0.3
    await kept.ready()
    assert await kept.envelope(MAIL) is None
    assert server.said == ["MAIL", "RCPT", "DATA"]


async def test_a_session_that_rested_is_asked_whether_it_lives(kept: Session, server: Server) -> None:
    kept.used_at -= module.RESTED_SECONDS
    await kept.ready()
    assert await kept.envelope(MAIL) is None
    assert server.said == ["RSET", "MAIL", "RCPT", "DATA"]

"""The SMTP side of the mailbox: accepts everything, and answers 250 when the mail is on disk."""

import asyncio

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from deploy.embedded.mailbox.mails import Mails
from deploy.embedded.processes.readiness import Alive, always_alive, wait_until

_MAX_MAIL_BYTES = 10 * 1024 * 1024


class Sink:
    """The handler that aiosmtpd calls."""

    def __init__(self, mails: Mails) -> None:
        self._mails = mails

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep one mail."""
        del server, session
        content = envelope.content
        body = content.encode() if isinstance(content, str) else content or b""
        try:
            mail_id = self._mails.add(envelope.mail_from or "", envelope.rcpt_tos, body)
        except OSError as error:
            return f"452 4.3.1 The mailbox cannot write: {error.strerror}"
        return f"250 2.0.0 kept as {mail_id}"


def protocol(mails: Mails) -> SMTP:
    """Make the protocol for one connection."""
    return SMTP(
        Sink(mails),
        data_size_limit=_MAX_MAIL_BYTES,
        enable_SMTPUTF8=True,
        hostname="localhost",  # given, or each connection would ask the DNS for our name
        ident="FASTCore mailbox",
        auth_require_tls=False,
        authenticator=_let_in,
    )


def _let_in(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: object
) -> AuthResult:
    # Any login is right here, so that a real provider's SMTP_USER may stay in `.env`.
    del server, session, envelope, mechanism
    return AuthResult(success=isinstance(credentials, LoginPassword))


async def wait_ready(port: int, timeout_seconds: float = 60, alive: Alive = always_alive) -> None:
    """Wait until the sink greets an SMTP client."""
    await wait_until(lambda: _greets(port), f"the mailbox's SMTP on port {port}", timeout_seconds, alive)


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    greeting = await reader.readline()
    writer.close()
    return greeting.startswith(b"220")

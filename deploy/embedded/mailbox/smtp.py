"""The mailbox's SMTP server. It accepts every email, and answers 250 when the email is on disk."""

import asyncio

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from deploy.embedded.mailbox.store import MailStore
from deploy.embedded.processes.readiness import Alive, always_alive, wait_until

_MAX_MAIL_BYTES = 10 * 1024 * 1024


class SmtpHandler:
    """Handles aiosmtpd's events."""

    def __init__(self, mails: MailStore) -> None:
        self._mails = mails

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store one email, and return the SMTP reply: 250, or 452 if it cannot be written."""
        del server, session
        content = envelope.content
        body = content.encode() if isinstance(content, str) else content or b""
        try:
            mail_id = self._mails.add(envelope.mail_from or "", envelope.rcpt_tos, body)
        except OSError as error:
            return f"452 4.3.1 The mailbox cannot write: {error.strerror}"
        return f"250 2.0.0 stored as {mail_id}"


def create_protocol(mails: MailStore) -> SMTP:
    """Return a new SMTP protocol object, which serves one connection."""
    return SMTP(
        SmtpHandler(mails),
        data_size_limit=_MAX_MAIL_BYTES,
        enable_SMTPUTF8=True,
        hostname="localhost",  # without it, each connection would query the DNS for the host name
        ident="FASTCore mailbox",
        auth_require_tls=False,
        authenticator=_accept_login,
    )


def _accept_login(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: object
) -> AuthResult:
    # Accept any login, so that a real provider's SMTP_USER can stay in `.env`.
    del server, session, envelope, mechanism
    return AuthResult(success=isinstance(credentials, LoginPassword))


async def wait_ready(port: int, timeout_seconds: float = 60, alive: Alive = always_alive) -> None:
    """Wait until the mailbox's SMTP server on this port greets a client.

    Raises `EmbeddedError` if the server's process ends or the time is over.
    """
    await wait_until(lambda: _greets(port), f"the mailbox's SMTP on port {port}", timeout_seconds, alive)


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    greeting = await reader.readline()
    writer.close()
    return greeting.startswith(b"220")

"""One connection to the mail server, and what is said on it for one mail at a time. No pool, no database.

What an answer means is decided in `verdict`; here is only what was said, and in which phase.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

import aiosmtplib

from services.notifier.mail.message import Mail
from services.notifier.smtp.outcome import Outcome, Phase, Verdict, answered, not_answered, of_all

# Servers close what is idle (Postfix after 300 s, others sooner) and count the mails of a session.
IDLE_SECONDS: Final = 30.0
MAILS_PER_SESSION: Final = 100
# A kept session that rested for so long is asked whether it lives before a mail is said on it, ...
RESTED_SECONDS: Final = 1.0
RSET_SECONDS: Final = 5.0  # ... and one that is silent for so long is taken for dead.
QUIT_SECONDS: Final = 2.0
# To connect, and for TLS on port 465: this much is the network's, and no greeting.
TCP_SECONDS: Final = 15.0
# A slow server acknowledges what we write and our probes. A host that is gone does not: lost after 30 s.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


class StaleError(Exception):
    """A kept session has ended, and no body was on its way: take another."""


@dataclass
class Session:
    """One connection to the server, and how far the mail on it got. `used_at` is monotonic; 0: it is new.

    `clean`: its last mail was taken, and with that is over for the server, too (RFC 5321, 4.1.1.4).
    """

    client: aiosmtplib.SMTP
    phase: Phase = Phase.CONNECT
    mails: int = 0
    used_at: float = 0.0
    clean: bool = True
    refused: list[Outcome] = field(default_factory=list)

    async def connect(self) -> None:
        """Connect and log in. A host that does not answer is given up soon, a slow greeting is waited for."""
        connecting = asyncio.create_task(self.client.connect())
        try:
            await asyncio.wait({connecting}, timeout=TCP_SECONDS)
            if not connecting.done() and self.client.transport is None:
                raise TimeoutError
            _notice_dead_peer(self.client)
            await connecting
        finally:
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait({connecting})
        _notice_dead_peer(self.client)
        if self.client.is_ehlo_or_helo_needed:
            self.phase = Phase.EHLO
            await self.client.ehlo()
        self.phase = Phase.MAIL

    async def ready(self) -> None:
        """Log a new session in; refuse a kept one that is old, or rid it of its last mail."""
        if not self.used_at:
            await self.connect()
        elif time.monotonic() - self.used_at > IDLE_SECONDS or self.mails >= MAILS_PER_SESSION:
            await self.quit()
            raise StaleError
        elif not self.clean or time.monotonic() - self.used_at > RESTED_SECONDS:
            try:
                await self.client.rset(timeout=RSET_SECONDS)
            except (aiosmtplib.SMTPException, OSError) as error:
                raise StaleError from error

    async def envelope(self, mail: Mail) -> Outcome | None:
        """Say from whom and to whom, up to DATA; return an outcome where the body may not come."""
        client, options, encoding = self.client, list[bytes](), "ascii"
        if mail.smtputf8:
            if not client.supports_extension("smtputf8"):
                ours = not mail.sender.isascii()
                verdict = Verdict.WORLD if ours else Verdict.DEAD
                return Outcome(verdict, "address needs smtputf8, which the mail server lacks")
            options, encoding = [b"SMTPUTF8"], "utf-8"
            # A MAIL with an option that only this mail needs is about this mail already.
            self.phase = Phase.RCPT
        # Not `client.mail` and `client.rcpt`, which parse each address again: a tenth of a mail's time.
        # What we have are addresses and nothing else (address.py).
        said = await self._mail_from(f"FROM:<{mail.sender}>".encode(encoding), *options)
        if said.code != aiosmtplib.SMTPStatus.completed:
            return answered(self.phase, said.code, said.message, mail.sender, mail.recipients)
        self.phase = Phase.RCPT
        for recipient in mail.recipients:
            said = await client.execute_command(b"RCPT", f"TO:<{recipient}>".encode(encoding), timeout=None)
            if said.code not in (aiosmtplib.SMTPStatus.completed, aiosmtplib.SMTPStatus.will_forward):
                self.refused.append(
                    answered(Phase.RCPT, said.code, said.message, mail.sender, mail.recipients)
                )
                if not client.is_connected:  # a 421 ends the session
                    break
        if len(self.refused) == len(mail.recipients) or not client.is_connected:
            return of_all(self.refused)
        self.phase = Phase.DATA
        said = await client.execute_command(b"DATA", timeout=None)
        if said.code == aiosmtplib.SMTPStatus.start_input:
            return None
        return answered(Phase.DATA, said.code, said.message, mail.sender, mail.recipients)

    async def _mail_from(self, *words: bytes) -> aiosmtplib.SMTPResponse:
        """Begin a mail; a kept session may have ended, at once or with a 421."""
        try:
            said = await self.client.execute_command(b"MAIL", *words, timeout=None)
        except ConnectionError as error:
            if not self.used_at:
                raise
            raise StaleError from error
        if self.used_at and not self.client.is_connected:
            raise StaleError
        return said

    async def body(self, mail: Mail, answer_seconds: float) -> Outcome:
        """Hand over the body; `aiosmtplib`'s own `data` could not say whether it was written."""
        protocol = self.client.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("connection lost")
        protocol.write(mail.content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        self.phase = Phase.BODY
        done = await protocol.read_response(timeout=answer_seconds)
        self.mails += 1
        outcome = answered(Phase.BODY, done.code, done.message, mail.sender, mail.recipients)
        if outcome.verdict is Verdict.SENT and self.refused:
            some = f"{len(self.refused)} of {len(mail.recipients)} recipients refused"
            return replace(outcome, reason=f"{some}: {self.refused[0].reason}")
        return outcome

    async def quit(self) -> None:
        """Take leave, whatever the server says."""
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await self.client.quit(timeout=QUIT_SECONDS)
        self.client.close()


def _notice_dead_peer(client: aiosmtplib.SMTP) -> None:
    """Have the kernel end a connection whose host is gone, for replies may take minutes."""
    connected: Any = client.transport.get_extra_info("socket") if client.transport else None
    if connected is None:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if option := getattr(socket, name, None):  # not on every system
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def judge(error: Exception, phase: Phase) -> Outcome:
    """Say what an exception of the driver means in the phase that a mail was in."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        phase = Phase.LOGIN
    elif isinstance(error, aiosmtplib.SMTPHeloError):
        phase = Phase.EHLO
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return answered(phase, error.code, error.message)
    if isinstance(error, TimeoutError):
        return not_answered(phase, "smtp silent")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return not_answered(phase, "smtp tls refused")
    if isinstance(error, OSError):
        return not_answered(phase, "smtp connection lost")
    # No STARTTLS, no AUTH, no method that we speak: never a fallback to less.
    return not_answered(phase, "smtp server lacks what we need")

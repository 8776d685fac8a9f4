"""The notifier's one adapter to the mail server: a few kept sessions, one mail at a time on each.

What an answer means is decided in `verdict`; here is only what was said, and in which phase.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import aiosmtplib

from runtime.failures import Backoff, WorldAway
from runtime.health import Health
from runtime.logs import logger
from runtime.tasks import running
from services.notifier.message import Mail
from services.notifier.settings import Settings
from services.notifier.verdict import Outcome, Phase, Verdict, answered, not_answered, of_all

# Servers close what is idle (Postfix after 300 s, others sooner) and count the mails of a session.
IDLE_SECONDS: Final = 30.0
MAILS_PER_SESSION: Final = 100
RSET_SECONDS: Final = 5.0
QUIT_SECONDS: Final = 2.0
WATCH_SECONDS: Final = 5.0


@dataclass
class Session:
    """One connection to the server, and how far the mail on it got. `used_at` is monotonic."""

    client: aiosmtplib.SMTP
    phase: Phase = Phase.CONNECT
    mails: int = 0
    used_at: float = 0.0
    refused: list[Outcome] = field(default_factory=list)


class Mailer:
    """Sends mails. All of a mail up to its body has one bound, the answer to the body another."""

    def __init__(self, settings: Settings, health: Health) -> None:
        self._settings = settings
        self._health = health
        self._idle: list[Session] = []
        # Verifies against the system's authorities, or those that SSL_CERT_FILE names.
        self._tls = ssl.create_default_context() if settings.smtp.tls or settings.smtp.implicit_tls else None
        self._answer_seconds = settings.answer_timeout_seconds
        self._envelope_seconds = settings.mail_timeout_seconds - settings.answer_timeout_seconds
        self._log = logger("mailer")
        health.set("smtp", ok=False, reason="connecting")

    async def send(self, mail: Mail, before_data: Callable[[], Awaitable[None]]) -> Outcome:
        """Send one mail and say what became of it; only what `before_data` raises is raised."""
        deadline = asyncio.get_running_loop().time() + self._envelope_seconds
        session = Session(self._new_client())
        try:
            async with asyncio.timeout_at(deadline):
                session = await self._joined(session)
                outcome = await self._envelope(session, mail)
            if outcome is None:
                await _bounded(before_data, deadline)
                outcome = await self._data(session, mail, deadline)
        except (aiosmtplib.SMTPException, OSError) as error:
            outcome = _judge(error, session)
        except BaseException:
            session.client.close()
            raise
        self._keep(session, outcome)
        return outcome

    async def _joined(self, session: Session) -> Session:
        """Return a session that is logged in: a kept one that still answers, or this one, connected."""
        while self._idle:
            kept = self._idle.pop()
            if time.monotonic() - kept.used_at > IDLE_SECONDS or kept.mails >= MAILS_PER_SESSION:
                await _quit(kept)
                continue
            try:
                await kept.client.rset(timeout=RSET_SECONDS)
            except (aiosmtplib.SMTPException, OSError):
                kept.client.close()
                continue
            return replace(kept, phase=Phase.MAIL, refused=[])
        await self._connect(session)
        return session

    async def _connect(self, session: Session) -> None:
        await session.client.connect()
        if session.client.is_ehlo_or_helo_needed:
            session.phase = Phase.EHLO
            await session.client.ehlo()
        session.phase = Phase.MAIL

    def _new_client(self) -> aiosmtplib.SMTP:
        smtp = self._settings.smtp
        return aiosmtplib.SMTP(
            hostname=smtp.host,
            port=smtp.port,
            username=smtp.user,
            password=smtp.password.get_secret_value() if smtp.password else None,
            use_tls=smtp.implicit_tls,
            start_tls=smtp.tls and not smtp.implicit_tls,
            tls_context=self._tls,
            # Ours, or it would ask the resolver for this machine's name, which may take seconds.
            local_hostname=self._settings.from_email.rpartition("@")[2],
            timeout=self._envelope_seconds,
        )

    async def _envelope(self, session: Session, mail: Mail) -> Outcome | None:
        """Say from whom and to whom; return an outcome where nobody is left to send it to."""
        client, options, encoding = session.client, list[str](), "ascii"
        if mail.smtputf8:
            if not client.supports_extension("smtputf8"):
                return Outcome(Verdict.DEAD, "address needs smtputf8, which the mail server lacks")
            options, encoding = ["SMTPUTF8"], "utf-8"
            # A MAIL with an option that only this mail needs is about this mail already.
            session.phase = Phase.RCPT
        await client.mail(mail.sender, options=options, encoding=encoding)
        session.phase = Phase.RCPT
        for recipient in mail.recipients:
            try:
                await client.rcpt(recipient, encoding=encoding)
            except aiosmtplib.SMTPRecipientRefused as refusal:
                session.refused.append(answered(Phase.RCPT, refusal.code, refusal.message))
                if not client.is_connected:  # a 421 ends the session
                    break
        if len(session.refused) < len(mail.recipients) and client.is_connected:
            return None
        return of_all(session.refused)

    async def _data(self, session: Session, mail: Mail, deadline: float) -> Outcome:
        """Hand over the body; `aiosmtplib`'s own `data` could not say whether it was written."""
        session.phase = Phase.DATA
        async with asyncio.timeout_at(deadline):
            ready = await session.client.execute_command(b"DATA")
        if ready.code != aiosmtplib.SMTPStatus.start_input:
            return answered(Phase.DATA, ready.code, ready.message)
        protocol = session.client.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("connection lost")
        protocol.write(mail.content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        session.phase = Phase.BODY
        done = await protocol.read_response(timeout=self._answer_seconds)
        session.mails += 1
        outcome = answered(Phase.BODY, done.code, done.message)
        if outcome.verdict is Verdict.SENT and session.refused:
            some = f"{len(session.refused)} of {len(mail.recipients)} recipients refused"
            return replace(outcome, reason=f"{some}: {session.refused[0].reason}")
        return outcome

    def _keep(self, session: Session, outcome: Outcome) -> None:
        well = outcome.verdict is not Verdict.WORLD
        self._health.set("smtp", ok=well, reason="" if well else outcome.reason)
        if well and outcome.verdict is not Verdict.UNKNOWN and session.client.is_connected:
            session.used_at = time.monotonic()
            self._idle.append(session)
        else:
            session.client.close()

    async def watch(self) -> None:
        """Close what is idle for long, and while the server is away ask for it, so that readiness is true."""
        backoff, attempt = Backoff(base_seconds=1.0), 0
        while True:
            for session in [s for s in self._idle if time.monotonic() - s.used_at > IDLE_SECONDS]:
                self._idle.remove(session)
                await _quit(session)
            if self._health.parts["smtp"].ok:
                attempt = 0
                await asyncio.sleep(WATCH_SECONDS)
                continue
            await self._ask()
            await asyncio.sleep(backoff.seconds(attempt))
            attempt += 1

    async def _ask(self) -> None:
        session = Session(self._new_client())
        try:
            async with asyncio.timeout(self._envelope_seconds):
                await self._connect(session)
        except (aiosmtplib.SMTPException, OSError) as error:
            session.client.close()
            reason = _judge(error, session).reason
            if self._health.set("smtp", ok=False, reason=reason):
                self._log.warning("SMTP server away", reason=reason)
            return
        session.used_at = time.monotonic()
        self._idle.append(session)
        self._health.set("smtp", ok=True)

    async def close(self) -> None:
        """End the kept sessions."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_quit, idle))


async def _bounded(before_data: Callable[[], Awaitable[None]], deadline: float) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await before_data()
    except TimeoutError as error:
        raise WorldAway("database", "database does not answer in time") from error


async def _quit(session: Session) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await session.client.quit(timeout=QUIT_SECONDS)
    session.client.close()


def _judge(error: Exception, session: Session) -> Outcome:
    """Say what an exception of the driver means in the phase that the mail was in."""
    phase = session.phase
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


@asynccontextmanager
async def open_mailer(settings: Settings, health: Health) -> AsyncIterator[Mailer]:
    """Keep a mailer for as long as the context lasts."""
    mailer = Mailer(settings, health)
    try:
        async with running(mailer.watch(), "mailer"):
            yield mailer
    finally:
        await mailer.close()

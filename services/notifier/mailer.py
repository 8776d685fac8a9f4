"""The notifier's one adapter to the mail server: a few kept sessions, one mail at a time on each."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import aiosmtplib

from runtime.failures import Backoff, WorldAway
from runtime.health import Health
from runtime.logs import logger
from runtime.tasks import running
from services.notifier.message import Mail
from services.notifier.session import IDLE_SECONDS, Session, StaleError, judge
from services.notifier.settings import Settings
from services.notifier.verdict import Outcome, Phase, Verdict

WATCH_SECONDS: Final = 5.0


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
        session, begins = self._next(), False
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        outcome = await session.envelope(mail)
                        break
                    except StaleError:
                        session.client.close()
                        session = self._next()
                if outcome is None:
                    begins = True
                    await before_data()
                    begins = False
                    outcome = await session.ask_for_body()
            if outcome is None:
                outcome = await session.body(mail, self._answer_seconds)
        except (aiosmtplib.SMTPException, OSError) as error:
            if begins:  # the deadline came
                session.client.close()
                raise WorldAway("database", "database does not answer in time") from error
            outcome = judge(error, session.phase)
        except BaseException:
            session.client.close()
            raise
        self._keep(session, outcome)
        return outcome

    def _next(self) -> Session:
        """Return the kept session that was used last, or a new one."""
        if self._idle:
            return replace(self._idle.pop(), phase=Phase.MAIL, refused=[])
        return Session(self._new_client())

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

    def _keep(self, session: Session, outcome: Outcome) -> None:
        well = outcome.verdict is not Verdict.WORLD
        self._health.set("smtp", ok=well, reason="" if well else outcome.reason)
        if well and outcome.verdict is not Verdict.UNKNOWN and session.client.is_connected:
            session.used_at, session.clean = time.monotonic(), outcome.verdict is Verdict.SENT
            self._idle.append(session)
        else:
            session.client.close()

    async def watch(self) -> None:
        """Close what is idle for long, and while the server is away ask for it, so that readiness is true."""
        backoff, attempt = Backoff(base_seconds=1.0), 0
        while True:
            old = [each for each in self._idle if time.monotonic() - each.used_at > IDLE_SECONDS]
            # Out of the list before anything is awaited: a mail must not take one that is about to end.
            self._idle = [each for each in self._idle if each not in old]
            for session in old:
                await session.quit()
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
                await session.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            session.client.close()
            reason = judge(error, session.phase).reason
            if self._health.set("smtp", ok=False, reason=reason):
                self._log.warning("SMTP server away", reason=reason)
            return
        session.used_at = time.monotonic()
        self._idle.append(session)
        self._health.set("smtp", ok=True)

    async def close(self) -> None:
        """End the kept sessions."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))


@asynccontextmanager
async def open_mailer(settings: Settings, health: Health) -> AsyncIterator[Mailer]:
    """Keep a mailer for as long as the context lasts."""
    mailer = Mailer(settings, health)
    try:
        async with running(mailer.watch(), "mailer"):
            yield mailer
    finally:
        await mailer.close()

"""The notifier's one adapter to the mail server: a few kept sessions, one mail at a time on each."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

import aiosmtplib

from runtime.failures import Backoff, DependencyUnavailable
from runtime.health import Health
from runtime.logs import logger
from runtime.tasks import run_in_background
from services.notifier.mail.message import Mail
from services.notifier.settings import Settings
from services.notifier.smtp.outcome import Outcome, Phase, Verdict
from services.notifier.smtp.session import IDLE_SECONDS, Session, StaleError, judge

Result = TypeVar("Result")

WATCH_SECONDS: Final = 5.0
# A server that is silent for so long is shown in readiness; its mail waits on.
SLOW_SECONDS: Final = 20.0
# Without mails the server is asked this often, so that readiness is not older. Not at each look at readiness:
# anybody may look, and each time would be a login, which providers limit.
QUIET_SECONDS: Final = 60.0


class Mailer:
    """Sends mails.

    What comes before a mail's body may take as long as RFC 5321 lets a server take (4.5.3.2), and is given
    up at a stop: nothing was sent. From the commit before the body to its answer there is one bound, below
    the time that a stop waits (ARCHITECTURE.md, the drain inequality).
    """

    def __init__(self, settings: Settings, health: Health, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._health = health
        self._stopping = stopping
        self._idle: list[Session] = []
        self._answered_at = 0.0  # when the server last showed how it is, monotonic
        self._connection_failed = True  # or not tried yet
        # Verifies against the system's authorities, or those that SSL_CERT_FILE names.
        self._tls = ssl.create_default_context() if settings.smtp.tls or settings.smtp.implicit_tls else None
        self._envelope_seconds = settings.envelope_timeout_seconds
        self._log = logger("mailer")
        health.set("smtp", ok=False, reason="connecting")

    async def send(self, mail: Mail, before_body: Callable[[], Awaitable[None]]) -> Outcome:
        """Send one mail. Raises what `before_body` raises, and `DependencyUnavailable` at a stop."""
        session, outcome = await self._unless_stopping(self._envelope(mail))
        try:
            if outcome is None:
                outcome = await self._body(session, mail, before_body)
        except BaseException:
            session.client.close()
            raise
        self._keep(session, outcome)
        return outcome

    async def _unless_stopping(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await what may take minutes. Raises `DependencyUnavailable` if the service stops first."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise DependencyUnavailable("stop", "the service is stopping")
            return task.result()
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _envelope(self, mail: Mail) -> tuple[Session, Outcome | None]:
        """Say what comes before the body; return the session, and an outcome where the body may not come."""
        while True:
            session = self._next()
            slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._report_slow, session)
            try:
                async with asyncio.timeout(self._envelope_seconds):
                    await session.ready()
                async with asyncio.timeout(self._envelope_seconds):
                    return session, await session.envelope(mail)
            except StaleError:
                session.client.close()
            except (aiosmtplib.SMTPException, OSError) as error:
                return session, judge(error, session.phase)
            except BaseException:
                session.client.close()
                raise
            finally:
                slow.cancel()

    def _report_slow(self, session: Session) -> None:
        """Show a server that takes long: it may be slow, or gone."""
        self._health.set("smtp", ok=False, reason=f"smtp slow at {session.phase}")

    async def _body(
        self, session: Session, mail: Mail, before_body: Callable[[], Awaitable[None]]
    ) -> Outcome:
        loop, settings = asyncio.get_running_loop(), self._settings
        deadline = loop.time() + settings.mail_timeout_seconds
        try:
            async with asyncio.timeout_at(deadline - settings.answer_timeout_seconds):
                await before_body()
        except TimeoutError as error:
            raise DependencyUnavailable("database", "database does not answer in time") from error
        try:
            return await session.body(mail, deadline - loop.time())
        except (aiosmtplib.SMTPException, OSError) as error:
            return judge(error, session.phase)

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
        self._health.set("smtp", ok=well, reason="" if well else outcome.reason_of_pause)
        self._answered_at = time.monotonic()
        # A connection that succeeds proves nothing against a refusal after the login: only a mail does.
        self._connection_failed = not well and session.phase in (Phase.CONNECT, Phase.EHLO, Phase.LOGIN)
        if well and outcome.verdict is not Verdict.UNKNOWN and session.client.is_connected:
            session.used_at, session.clean = time.monotonic(), outcome.verdict is Verdict.SENT
            self._idle.append(session)
        else:
            session.client.close()

    async def watch(self) -> None:
        """Close what is idle for long, and ask the server where no mail has shown lately how it is."""
        backoff, attempt = Backoff(base_seconds=1.0), 0
        while True:
            old = [each for each in self._idle if time.monotonic() - each.used_at > IDLE_SECONDS]
            # Out of the list before anything is awaited: a mail must not take one that is about to end.
            self._idle = [each for each in self._idle if each not in old]
            for session in old:
                await session.quit()
            if time.monotonic() - self._answered_at < QUIET_SECONDS and not self._connection_failed:
                attempt = 0
                await asyncio.sleep(WATCH_SECONDS)
                continue
            await self._ask()
            await asyncio.sleep(backoff.seconds(attempt))
            attempt += 1

    async def _ask(self) -> None:
        session = Session(self._new_client())
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._report_slow, session)
        try:
            async with asyncio.timeout(self._envelope_seconds):
                await session.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            session.client.close()
            reason = judge(error, session.phase).reason
            self._connection_failed = True
            if self._health.set("smtp", ok=False, reason=reason):
                self._log.warning("SMTP server away", reason=reason)
            return
        finally:
            slow.cancel()
        session.used_at = self._answered_at = time.monotonic()
        self._connection_failed = False
        self._idle.append(session)
        self._health.set("smtp", ok=True)

    async def close(self) -> None:
        """End the kept sessions."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))


@asynccontextmanager
async def open_mailer(settings: Settings, health: Health, stopping: asyncio.Event) -> AsyncIterator[Mailer]:
    """Keep a mailer for as long as the context lasts; from `stopping` on it begins no mail's body."""
    mailer = Mailer(settings, health, stopping)
    try:
        async with run_in_background(mailer.watch(), "mailer"):
            yield mailer
    finally:
        await mailer.close()

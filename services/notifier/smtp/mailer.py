"""The notifier's adapter to the mail server: a pool of connections.

Each connection sends one mail at a time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiosmtplib

from runtime import metrics
from runtime.failures import Backoff, DependencyUnavailable
from runtime.health import Health
from runtime.logs import logger
from runtime.oauth_tokens import AccessTokenError, AccessTokens
from runtime.tasks import run_in_background, seconds_to_next
from services.notifier.mail.dkim_signers import DkimSigners
from services.notifier.mail.message import Mail
from services.notifier.settings import Settings
from services.notifier.smtp.client import make_client, tls_context
from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase
from services.notifier.smtp.session import IDLE_SECONDS, Session, StaleSessionError, outcome_of_exception

MONITOR_SECONDS: Final = 5.0
# After this time without a reply readiness shows the server as slow. The mail keeps waiting.
SLOW_SECONDS: Final = 20.0
# Without mails the server is probed at this interval, so that readiness is current. A probe at each readiness
# check would let anybody cause logins, which providers limit.
PROBE_SECONDS: Final = 60.0


async def nothing_to_commit() -> None:
    """Do nothing before the body, for mails without a state in `email_delivery`: one may be sent twice."""


class Mailer:
    """Sends mails.

    The commands before the body may take as long as RFC 5321 (4.5.3.2) allows. If the service stops, they are
    cancelled, because no mail was sent yet. Three steps follow: the database commit, the body, and the reply
    to the body. They share one short time limit. A stopping service waits for them (ARCHITECTURE.md,
    "Stopping").
    """

    def __init__(
        self, settings: Settings, health: Health, stopping: asyncio.Event, signers: DkimSigners | None = None
    ) -> None:
        self._settings = settings
        self._signers = signers
        self._health = health
        self._stopping = stopping
        self._idle: list[Session] = []
        self._in_use = 0
        metrics.MAIL_CONNECTIONS.labels(state="idle").set_function(lambda: len(self._idle))
        metrics.MAIL_CONNECTIONS.labels(state="in_use").set_function(lambda: self._in_use)
        self._envelope_limits: set[asyncio.Timeout] = set()
        self._checked_at = 0.0  # when a mail or a probe last showed the server's state, monotonic
        self._connection_failed = True  # or not tried yet
        self._tls = tls_context(settings.smtp)
        grant = settings.smtp.grant()
        self._tokens = AccessTokens(grant, health) if grant else None
        self._envelope_seconds = settings.envelope_timeout_seconds
        self._log = logger("mailer")
        health.set("smtp", ok=False, reason="connecting")

    async def send(
        self,
        mail: Mail,
        before_body: Callable[[], Awaitable[None]],
        review: Callable[[MailOutcome], MailOutcome] = lambda outcome: outcome,
    ) -> MailOutcome:
        """Send one mail and return its outcome. Calls `before_body` between the command DATA and the body.

        `review` may replace the outcome, before the outcome decides what readiness says about the server.
        Raises what `before_body` raises, and `DependencyUnavailable` if the service stops.
        """
        if self._signers:
            mail = self._signers.sign(mail, self._health)
        with self._count_connection():
            session, outcome = await self._send_envelope(mail)
            try:
                if outcome is None:
                    outcome = await self._send_body(session, mail, before_body)
            except BaseException:
                session.client.close()
                raise
            outcome = review(outcome)
            self._return_session(session, outcome)
            return outcome

    async def check(self, mail: Mail) -> MailOutcome:
        """Let the server check the sender and the recipients of a mail, and send nothing (RSET).

        The outcome is `sent` if the server would take the mail's body. Raises `DependencyUnavailable` if the
        service stops.
        """
        with self._count_connection():
            session, outcome = await self._send_envelope(mail, rehearse=True)
            outcome = outcome or MailOutcome(MailStatus.SENT, "")
            self._return_session(session, outcome)
            return outcome

    @contextmanager
    def _count_connection(self) -> Iterator[None]:
        self._in_use += 1
        try:
            yield
        finally:
            self._in_use -= 1

    async def _send_envelope(
        self, mail: Mail, *, rehearse: bool = False
    ) -> tuple[Session, MailOutcome | None]:
        """Send the commands before the body. Return the connection, and an outcome if no body may follow.

        Raises `DependencyUnavailable` if the service stops.
        """
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            session = self._take_session()
            slow = loop.call_later(SLOW_SECONDS, self._report_slow, session)
            limit = asyncio.timeout(self._envelope_seconds)
            self._envelope_limits.add(limit)
            try:
                async with limit:
                    await session.prepare()
                    limit.reschedule(loop.time() + self._envelope_seconds)
                    return session, await session.send_envelope(mail, rehearse=rehearse)
            except StaleSessionError:
                session.client.close()
            except (aiosmtplib.SMTPException, OSError, AccessTokenError) as error:
                if not self._stopping.is_set():
                    return session, outcome_of_exception(error, session.phase)
                session.client.close()
            except BaseException:
                session.client.close()
                raise
            finally:
                slow.cancel()
                self._envelope_limits.discard(limit)
        raise DependencyUnavailable("stop", "the service is stopping")

    async def end_envelopes_at_stop(self) -> None:
        """Wait until the service stops. Then end the commands before a body, which may take minutes."""
        await self._stopping.wait()
        for limit in self._envelope_limits:
            if not limit.expired():
                limit.reschedule(0)

    def _report_slow(self, session: Session) -> None:
        self._health.set("smtp", ok=False, reason=f"smtp slow at {session.phase}")

    async def _send_body(
        self, session: Session, mail: Mail, before_body: Callable[[], Awaitable[None]]
    ) -> MailOutcome:
        loop, settings = asyncio.get_running_loop(), self._settings
        deadline = loop.time() + settings.mail_timeout_seconds
        try:
            async with asyncio.timeout_at(deadline - settings.answer_timeout_seconds):
                await before_body()
        except TimeoutError as error:
            raise DependencyUnavailable("database", "database does not answer in time") from error
        try:
            return await session.send_body(mail, deadline - loop.time())
        except (aiosmtplib.SMTPException, OSError) as error:
            return outcome_of_exception(error, session.phase)

    def _take_session(self) -> Session:
        """Return the pooled connection that was used last, or a new one."""
        if self._idle:
            session = self._idle.pop()
            session.phase, session.refused = Phase.MAIL, []
            return session
        return self._new_session()

    def _new_session(self) -> Session:
        host = self._settings.from_email.rpartition("@")[2]
        client = make_client(self._settings.smtp, self._tls, host, self._envelope_seconds)
        return Session(client, self._tokens)

    def _return_session(self, session: Session, outcome: MailOutcome) -> None:
        """Report the server's state, and return the connection to the pool if it is usable."""
        ok = outcome.status is not MailStatus.UNAVAILABLE
        self._health.set("smtp", ok=ok, reason="" if ok else outcome.pause_reason)
        self._checked_at = time.monotonic()
        # If the server refuses mails after the login, a successful connection does not show that it accepts
        # mails again. Only an accepted mail shows that.
        self._connection_failed = not ok and session.phase in (Phase.CONNECT, Phase.EHLO, Phase.LOGIN)
        if ok and outcome.status is not MailStatus.UNKNOWN and session.client.is_connected:
            session.used_at, session.clean = time.monotonic(), outcome.status is MailStatus.SENT
            self._idle.append(session)
        else:
            session.client.close()

    async def monitor(self) -> None:
        """Close idle connections, and probe the server if no recent mail has shown whether it works.

        Runs until cancelled.
        """
        backoff, attempt = Backoff(base_seconds=1.0), 0
        while True:
            expired = [each for each in self._idle if time.monotonic() - each.used_at > IDLE_SECONDS]
            # Remove them before the first await, so that no mail takes one that is about to close.
            self._idle = [each for each in self._idle if each not in expired]
            for session in expired:
                await session.quit()
            if time.monotonic() - self._checked_at < PROBE_SECONDS and not self._connection_failed:
                attempt = 0
                await asyncio.sleep(seconds_to_next(MONITOR_SECONDS))
                continue
            await self._probe()
            await asyncio.sleep(backoff.seconds(attempt))
            attempt += 1

    async def _probe(self) -> None:
        """Connect and log in, report the result, and add the connection to the pool."""
        session = self._new_session()
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._report_slow, session)
        try:
            async with asyncio.timeout(self._envelope_seconds):
                await session.connect()
        except (aiosmtplib.SMTPException, OSError, AccessTokenError) as error:
            session.client.close()
            reason = outcome_of_exception(error, session.phase).pause_reason
            self._connection_failed = True
            if self._health.set("smtp", ok=False, reason=reason):
                self._log.warning("SMTP server unavailable", reason=reason)
            return
        except BaseException:  # cancelled while it connects or logs in
            session.client.close()
            raise
        finally:
            slow.cancel()
        session.used_at = self._checked_at = time.monotonic()
        self._connection_failed = False
        self._idle.append(session)
        self._health.set("smtp", ok=True)

    async def close(self) -> None:
        """Close the pooled connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))


@asynccontextmanager
async def open_mailer(
    settings: Settings, health: Health, stopping: asyncio.Event, signers: DkimSigners | None = None
) -> AsyncIterator[Mailer]:
    """Yield a mailer. Its monitor runs until the context ends.

    The mailer adds a DKIM signature to a mail if `signers` has a key for the mail's sender. Once
    `stopping` is set, the mailer does not begin to send the body (SMTP DATA) of any further mail.
    """
    mailer = Mailer(settings, health, stopping, signers)
    try:
        async with (
            run_in_background(mailer.monitor(), "mailer"),
            run_in_background(mailer.end_envelopes_at_stop(), "stop of the mailer"),
        ):
            yield mailer
    finally:
        await mailer.close()

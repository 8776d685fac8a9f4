"""Tests with each canary whether emails can be composed and sent, and writes the result.

Without a mailbox for canaries, nothing is sent: the mail server checks the sender and the recipients of
the team notification, and the mail ends with RSET. No row of `email_delivery` exists.
"""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from contracts.leads import LeadReceived
from runtime.canary_queue import CanaryQueue
from runtime.database.canaries import CanaryResult, CanaryResults, add_failure_of_waiting
from runtime.database.postgres import Pool, transaction_within
from runtime.failures import DependencyUnavailable, Failure
from runtime.kafka.handler import Record
from runtime.logs import logger
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Mail, UndeliverableError, compose
from services.notifier.smtp.mailer import Mailer, nothing_to_commit
from services.notifier.smtp.outcome import MailStatus

# Less than the time after which a canary without a result counts as failed.
SMTP_SECONDS: Final = 30.0
# The conversations of canaries with the mail server at once, beside those of the leads' emails.
SMTP_CONCURRENCY: Final = 4
# How often a pause is written while it lasts.
PAUSE_SECONDS: Final = 15.0
PAUSE_WRITE_SECONDS: Final = 3.0
_SILENT: Final = "smtp does not answer within {seconds:.0f} s"


class CanaryMails:
    """Handles canaries beside the leads. `mailbox` gets their emails; if it is empty, none is sent."""

    def __init__(self, pool: Pool, mailer: Mailer, identities: Identities, mailbox: str = "") -> None:
        self._pool = pool
        self._mailer = mailer
        self._identities = identities
        self._mailbox = mailbox
        self._pause_written_at = float("-inf")
        self._log = logger("canary")
        self._results = CanaryResults(pool)
        self._smtp_slots = asyncio.Semaphore(SMTP_CONCURRENCY)
        self.queue = CanaryQueue(self.handle)

    async def handle(self, _record: Record, canary: LeadReceived) -> None:
        """Compose both emails of a canary, talk to the mail server, and write the results."""
        try:
            welcome, alert = self._compose(canary)
        except UndeliverableError as error:
            await self._results.write(CanaryResult(canary.lead_id, "notifier", error.reason))
            return
        await self._results.write(CanaryResult(canary.lead_id, "notifier"))
        try:
            async with asyncio.timeout(SMTP_SECONDS), self._smtp_slots:
                reason = await self._send(welcome, alert)
        except TimeoutError:
            reason = _SILENT.format(seconds=SMTP_SECONDS)
        await self._results.write(CanaryResult(canary.lead_id, "smtp", reason))

    def _compose(self, canary: LeadReceived) -> tuple[Mail, Mail]:
        identity, now = self._identities.of(canary.site), datetime.now(UTC)
        if self._mailbox:
            identity = replace(identity, admins=(self._mailbox,), alert_rules=())
            canary = canary.model_copy(update={"email": self._mailbox})
        return compose("welcome", canary, identity, now), compose("admin_alert", canary, identity, now)

    async def _send(self, welcome: Mail, alert: Mail) -> str:
        """Return why the mail server did not accept the emails, or an empty text."""
        if self._mailbox:
            outcomes = [await self._mailer.send(mail, nothing_to_commit) for mail in (welcome, alert)]
        else:
            outcomes = [await self._mailer.check(alert)]
        return next((each.pause_reason for each in outcomes if each.status is not MailStatus.SENT), "")

    async def write_pause(self, failure: DependencyUnavailable) -> None:
        """Write that the stage pauses, because of the mail server, for the canaries that wait behind.

        Never raises a `Failure`.
        """
        if failure.dependency != "smtp" or time.monotonic() - self._pause_written_at < PAUSE_SECONDS:
            return
        self._pause_written_at = time.monotonic()
        try:
            async with transaction_within(self._pool, PAUSE_WRITE_SECONDS) as connection:
                await add_failure_of_waiting(connection, "smtp", failure.reason)
        except Failure as error:
            self._log.warning("pause not written for canaries", reason=error.reason)

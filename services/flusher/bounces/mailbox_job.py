"""The job that reads reports from a mailbox every minute. One flusher at a time runs it.

A report leaves the mailbox after Kafka has acknowledged its events. After a crash in between, it is published
again, with the same ids. Other messages are not changed: an unread message stays
unread.
"""

import asyncio
import time
from collections import Counter
from typing import Final

from runtime import metrics
from runtime.failures import DependencyUnavailable
from runtime.kafka.publisher import Publisher
from runtime.logs import logger
from runtime.oauth_tokens import AccessTokenError, AccessTokens
from services.flusher.bounces.imap_mailbox import ImapMailbox, MailboxRefused
from services.flusher.bounces.report_publisher import publish_report
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.settings import Settings
from services.flusher.store import Clock

JOB: Final = "bounce_mailbox"
CRON: Final = "* * * * *"
RUN_SECONDS: Final = 50.0
# After this time, a run starts with no further message.
READ_SECONDS: Final = 30.0
# The maximum of messages in one run. The next run continues.
MESSAGES_MAX: Final = 200
_SEEN_MAX: Final = 20_000


class BounceMailboxJob:
    """Reads the mailbox. Remembers the messages that are not reports, so that it reads them only once."""

    def __init__(self, settings: Settings, publisher: Publisher, runs: JobRuns, clock: Clock) -> None:
        self._settings = settings.bounce_mailbox
        self._login = settings.mailbox_login()
        grant = self._login.grant() if self._settings.host else None
        self._tokens = AccessTokens(grant) if grant else None
        self._publisher = publisher
        self._seen: dict[tuple[bytes, bytes], None] = {}
        self._log = logger(JOB)
        self.job = ScheduledJob(JOB, CRON, runs, clock, self.read)

    async def run(self) -> None:
        """Run on schedule until cancelled."""
        await self.job.run()

    async def read(self) -> Report:
        """Read the new messages once, and return the counts. Raises `DependencyUnavailable`."""
        counts = Counter[str]()
        try:
            async with asyncio.timeout(RUN_SECONDS):
                mailbox = await self._open()
                try:
                    await self._read_messages(mailbox, counts)
                except BaseException:
                    mailbox.abort()  # a thread may still wait for the server
                    raise
                finally:
                    await asyncio.to_thread(mailbox.close)
        except TimeoutError:
            raise DependencyUnavailable("mailbox", "the mailbox is not read in time") from None
        details = {"messages": counts.total(), **{k.replace(" ", "_"): n for k, n in counts.items()}}
        if counts["refused"] or counts["not moved"]:
            return Report(details, "the mailbox's server refuses to give or to move a message", retry=False)
        return Report(details)

    async def _open(self) -> ImapMailbox:
        """Connect and log in. If the server refuses an access token, try once more with a new one."""
        user = self._login.user or ""
        if self._tokens is None:
            password = self._login.password.get_secret_value() if self._login.password else ""
            return await asyncio.to_thread(ImapMailbox.open, self._settings, user, password)
        try:
            token = await self._tokens.get()
            try:
                return await asyncio.to_thread(ImapMailbox.open, self._settings, user, token)
            except MailboxRefused:
                if not self._tokens.reject(token):
                    raise
                token = await self._tokens.get()
                return await asyncio.to_thread(ImapMailbox.open, self._settings, user, token)
        except AccessTokenError as error:
            raise DependencyUnavailable("mailbox", f"mailbox no access token: {error.reason}") from error

    async def _read_messages(self, mailbox: ImapMailbox, counts: "Counter[str]") -> None:
        recent = await asyncio.to_thread(mailbox.recent)
        new = [uid for uid in recent if (mailbox.validity, uid) not in self._seen]
        end = time.monotonic() + READ_SECONDS
        for uid in new[:MESSAGES_MAX]:
            if time.monotonic() > end:
                break
            try:
                result = await self._read_message(mailbox, uid)
            except MailboxRefused:
                result = "refused"
            counts[result] += 1
            if result not in ("events", "delayed", "refused"):
                self._seen[mailbox.validity, uid] = None
        while len(self._seen) > _SEEN_MAX:
            self._seen.pop(next(iter(self._seen)))

    async def _read_message(self, mailbox: ImapMailbox, uid: bytes) -> str:
        """Publish the events of a message, then move it. Return what it is."""
        content = await asyncio.to_thread(mailbox.fetch, uid)
        try:
            report = await publish_report(self._publisher, content)
        except DependencyUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            metrics.BUGS.inc()
            self._log.error("unexpected error in a message", exc_info=error)
            return "unreadable"
        if report.result in ("events", "delayed"):
            try:
                await asyncio.to_thread(mailbox.remove, uid)
            except MailboxRefused:
                return "not moved"
        return report.result

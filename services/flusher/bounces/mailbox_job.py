"""The job that reads reports from a mailbox every minute. One flusher at a time runs it.

A report leaves the mailbox after Kafka has acknowledged its events. After a crash in between, it is published
again, with the same ids. Other messages stay as they are, also unread.
"""

import asyncio
from collections import Counter
from typing import Final

from runtime.failures import DependencyUnavailable
from runtime.kafka.publisher import Publisher
from services.flusher.bounces.imap_mailbox import ImapMailbox
from services.flusher.bounces.report_publisher import publish_report
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.settings import BounceMailbox
from services.flusher.store import Clock

JOB: Final = "bounce_mailbox"
CRON: Final = "* * * * *"
RUN_SECONDS: Final = 50.0
# Messages of one run. The next run continues.
MESSAGES_MAX: Final = 200
_SEEN_MAX: Final = 20_000


class BounceMailboxJob:
    """Reads the mailbox. Remembers the messages that are no report, so that each is read once."""

    def __init__(self, settings: BounceMailbox, publisher: Publisher, runs: JobRuns, clock: Clock) -> None:
        self._settings = settings
        self._publisher = publisher
        self._seen: dict[tuple[bytes, bytes], None] = {}
        self.job = ScheduledJob(JOB, CRON, runs, clock, self.read)

    async def run(self) -> None:
        """Run on schedule until cancelled."""
        await self.job.run()

    async def read(self) -> Report:
        """Read the new messages once, and return the counts. Raises `DependencyUnavailable`."""
        counts = Counter[str]()
        opening = ImapMailbox.open(self._settings)
        try:
            async with asyncio.timeout(RUN_SECONDS):
                mailbox = await asyncio.to_thread(opening.__enter__)
                try:
                    await self._read_messages(mailbox, counts)
                finally:
                    await asyncio.to_thread(opening.__exit__, None, None, None)
        except TimeoutError:
            raise DependencyUnavailable("mailbox", "the mailbox is not read in time") from None
        return Report({"messages": counts.total(), **{k.replace(" ", "_"): n for k, n in counts.items()}})

    async def _read_messages(self, mailbox: ImapMailbox, counts: "Counter[str]") -> None:
        recent = await asyncio.to_thread(mailbox.recent)
        new = [uid for uid in recent if (mailbox.validity, uid) not in self._seen]
        for uid in new[:MESSAGES_MAX]:
            content = await asyncio.to_thread(mailbox.fetch, uid)
            report = await publish_report(self._publisher, content)
            counts[report.result] += 1
            if report.result in ("events", "delayed"):
                await asyncio.to_thread(mailbox.remove, uid)
            else:
                self._seen[mailbox.validity, uid] = None
        while len(self._seen) > _SEEN_MAX:
            self._seen.pop(next(iter(self._seen)))

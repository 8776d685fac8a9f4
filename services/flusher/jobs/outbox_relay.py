"""Publishes the events of the transactional outbox to `leads.changed.v1`, in order for each lead.

A transaction locks a row, waits until Kafka has acknowledged the event, and deletes the row. After a crash,
the event is published again with the same event id, and consumers ignore the repetition.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from contracts import headers as h
from contracts import topics
from contracts.lead_events import LeadChanged
from runtime.database.postgres import Pool, load_queries, transaction
from runtime.failures import Failure
from runtime.kafka.publisher import Publisher
from runtime.logs import logger
from runtime.tasks import seconds_to_next
from runtime.tracing.spans import producer_span
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import POLL_SECONDS, Report, ScheduledJob, failed_report
from services.flusher.store import Clock

JOB: Final = "lead_event_outbox"
# The job records once a minute that the relay works. The relay itself looks every second.
CRON: Final = "* * * * *"
# The locks of a batch are held until Kafka has acknowledged it.
BATCH: Final = 500
SEND_SECONDS: Final = 5.0
SQL: Any = load_queries(Path(__file__).with_name("outbox_relay.sql"))


class OutboxRelay:
    """Publishes waiting events every second. Several relays may run at once."""

    def __init__(self, pool: Pool, runs: JobRuns, publisher: Publisher, clock: Clock) -> None:
        self._pool = pool
        self._pending = runs.pending
        self._publisher = publisher
        self._log = logger("outbox")
        self._published = 0  # since the job's last run
        self._failure = ""  # of the last poll
        self.job = ScheduledJob(JOB, CRON, runs, clock, self._report)

    async def run(self) -> None:
        """Publish the waiting events every second, until cancelled."""
        while True:
            # At once, so that both share one query of the pending work.
            await asyncio.gather(self.job.poll(), self.poll())
            await asyncio.sleep(seconds_to_next(POLL_SECONDS))

    async def poll(self) -> None:
        """Publish the waiting events. A failure is logged once; the next poll tries again."""
        reason = ""
        try:
            # Without a connection each attempt would hold its locks for SEND_SECONDS.
            if self._publisher.connected and (await self._pending.read()).events:
                await self.publish_all()
        except Failure as failure:
            reason = failure.reason
        except Exception as error:  # noqa: BLE001 - a bug must not end the relay
            reason = failed_report(JOB, error).reason or ""
        if reason and reason != self._failure:
            self._log.warning("events of leads not published", reason=reason)
        self._failure = reason

    async def publish_all(self) -> int:
        """Publish all events that no other relay has locked, and return their number.

        Raises `DependencyUnavailable` if an event cannot be published. The events that Kafka has acknowledged
        are deleted even then.
        """
        total = 0
        while published := await self._publish_batch():
            total += published
            if published < BATCH:
                break
        return total

    async def _publish_batch(self) -> int:
        failures = list[Exception]()
        async with transaction(self._pool) as connection:
            by_lead = defaultdict[Any, list[Any]](list)
            async for row in SQL.claim_events(connection, limit=BATCH):
                by_lead[row["lead_id"]].append(row)
            acknowledged = list[int]()
            await asyncio.gather(
                *(self._publish_lead(rows, acknowledged, failures) for rows in by_lead.values())
            )
            if acknowledged:
                await SQL.delete_events(connection, positions=acknowledged)
        self._published += len(acknowledged)
        if failures:
            raise failures[0]
        return len(acknowledged)

    async def _publish_lead(
        self, rows: Sequence[Any], acknowledged: list[int], failures: list[Exception]
    ) -> None:
        """Publish the events of one lead one after the other, up to the first that fails."""
        try:
            for row in rows:
                await self._send(LeadChanged.model_validate({**row, "occurred_at": row["created_at"]}))
                acknowledged.append(row["position"])
        except Exception as error:  # noqa: BLE001 - raised after the other leads' events are deleted
            failures.append(error)

    async def _send(self, event: LeadChanged) -> None:
        key = str(event.lead_id).encode()
        headers: h.Headers = [
            (h.CONTENT_TYPE, b"application/json"),
            (h.CORRELATION_ID, str(event.event_id).encode()),
        ]
        with producer_span(topics.CHANGED.name, headers, key) as carried:
            await self._publisher.send(
                topics.CHANGED.name,
                key=key,
                value=event.model_dump_json().encode(),
                headers=carried,
                seconds=SEND_SECONDS,
            )

    async def _report(self) -> Report:
        await self.publish_all()
        published, self._published = self._published, 0
        return Report({"published": published})

"""The job that imports leads from websites' queues.

A website queues leads that it cannot deliver to the gateway. Each entry is posted to the gateway with the
entry's own idempotency key, and then removed from the website's queue. After a crash between these two steps,
the entry is posted again with the same key, so the lead is stored once. A lead that the gateway refuses goes
to the replay queue. While the gateway is unavailable, entries stay in the website's queue.
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from contracts import headers as h
from contracts.audit import AuditEvent, AuditRecorded
from contracts.failures import SITE, LeadFailed, Origin
from contracts.leads import lead_id_for
from contracts.reasons import Reason
from contracts.sites import SiteQueueEntry
from runtime import metrics
from runtime.database.audit_log import append_entries
from runtime.database.erasure import block_erasures
from runtime.database.postgres import Pool, load_queries, transaction
from runtime.failures import Failure, RetryableError
from runtime.logs import logger
from services.flusher.failed_record import audit_entry
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.settings import Site
from services.flusher.site_queues.clients import ORIGIN, SiteQueueClient, Submission
from services.flusher.store import ACTOR, Clock
from services.flusher.store import SQL as QUEUE

JOB: Final = "site_queue"
# The gateway accepts hundreds a second; a website's queue is on a small server.
AT_ONCE: Final = 8
# How long a run fetches from one website. The next run fetches the rest, and the other websites wait for it.
RUN_SECONDS: Final = 60.0
SQL: Any = load_queries(Path(__file__).with_name("site_queue_import.sql"))


@dataclass
class ImportResult:
    """The result of importing one website's queue: the counts of this run, and the last known queue size."""

    pulled: int = 0
    refused: int = 0
    unreadable: int = 0
    damaged: int = 0
    depth: int | None = None
    oldest_queued_at: datetime | None = None
    reason: str | None = None

    def details(self) -> dict[str, Any]:
        """Return the result as a JSON object for the details of the run."""
        oldest = self.oldest_queued_at and self.oldest_queued_at.astimezone(UTC).isoformat()
        return {**vars(self), "oldest_queued_at": oldest}


class SiteQueueImport:
    """Imports the websites' queues on schedule and on an admin's request, in one flusher at a time."""

    def __init__(self, pool: Pool, runs: JobRuns, sites: SiteQueueClient, cron: str, clock: Clock) -> None:
        self._pool = pool
        self._sites = sites
        self._clock = clock
        self._log = logger(JOB)
        self.job = ScheduledJob(JOB, cron, runs, clock, self._import_all)

    async def run(self) -> None:
        """Run on schedule and on request until cancelled. Returns at once if no website has a queue."""
        if self._sites.sites:
            await self.job.run()

    async def _import_all(self) -> Report:
        # Concurrently, and for a bounded time each, so that a slow website delays no other.
        deadline = time.monotonic() + RUN_SECONDS
        pulled = await asyncio.gather(*(self._import_safely(site, deadline) for site in self._sites.sites))
        results = dict(zip((site.name for site in self._sites.sites), pulled, strict=True))
        # An unavailable website makes the job fail, but not the readiness of this service.
        reason = "; ".join(sorted({each.reason for each in results.values() if each.reason}))
        await self._audit(results)
        return Report({"sites": {name: each.details() for name, each in results.items()}}, reason or None)

    async def _import_safely(self, site: Site, deadline: float) -> ImportResult:
        """Import one website's queue. An error becomes the result's reason, so that other queues follow."""
        state = ImportResult()
        try:
            await self._import_queue(site, state, deadline)
        except Failure as failure:
            state.reason = failure.reason
        except Exception as error:  # noqa: BLE001 - a bug is reported with this website's counts
            metrics.BUGS.inc()
            self._log.error("unexpected error in a site queue import", site=site.name, exc_info=True)
            state.reason = Reason.BUG.format(exception=type(error).__name__)
        return state

    async def _import_queue(self, site: Site, state: ImportResult, deadline: float) -> None:
        """Import one website's queue, oldest entries first, page by page. Adds the counts to `state`."""
        seen = set[str]()
        while True:
            page, entries = await self._sites.list_queue(site)
            state.depth, state.oldest_queued_at = page.depth, page.oldest_queued_at
            state.unreadable = len(page.entries) - len(entries)
            state.damaged = page.damaged
            if page.write_error:
                state.reason = f"the site cannot write to its queue ({page.write_error})"
            fresh = [each for each in entries if each.id not in seen]
            if not fresh:
                if state.unreadable and page.depth > len(page.entries):
                    state.reason = "entries that cannot be read hold up those behind them"
                return
            seen |= {each.id for each in fresh}
            for start in range(0, len(fresh), AT_ONCE):
                if time.monotonic() > deadline:
                    state.reason = "slow: the rest is fetched by the next run"
                    return
                await self._import_entries(site, fresh[start : start + AT_ONCE], state)

    async def _import_entries(self, site: Site, entries: list[SiteQueueEntry], state: ImportResult) -> None:
        ends = await asyncio.gather(
            *(self._import_entry(site, each) for each in entries), return_exceptions=True
        )
        counts = Counter(end for end in ends if isinstance(end, str))
        state.pulled += counts["pulled"]
        state.refused += counts["refused"]
        failed = [end for end in ends if isinstance(end, BaseException)]
        for end in failed:
            # One entry that fails does not stop the others. If all fail, the gateway is unavailable.
            if not isinstance(end, Failure) or len(failed) == len(ends):
                raise end
            state.reason = end.reason

    async def _import_entry(self, site: Site, queued: SiteQueueEntry) -> str:
        body = json.dumps(queued.body, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )
        submission = Submission(queued.idempotency_key, body, queued.traceparent)
        end = "pulled"
        try:
            await self._sites.submit(site, submission)
        except RetryableError as refused:
            await self._store_refused(site, queued, submission, refused.reason)
            end = "refused"
        await self._sites.remove(site, queued.id)
        return end

    async def _store_refused(
        self, site: Site, queued: SiteQueueEntry, submission: Submission, reason: str
    ) -> None:
        """Store a refused lead in the replay queue before it is removed from the website's queue."""
        now, lead_id = self._clock(), lead_id_for(site.name, submission.key)
        failed = LeadFailed(
            event_id=uuid4(),
            occurred_at=now,
            stage=SITE,
            kind="pull",
            final=False,
            reason=reason,
            error="gateway",
            origin=Origin(
                topic=ORIGIN + site.name,
                partition=-1,
                offset=_digest(submission),
                timestamp_ms=round(queued.queued_at.timestamp() * 1000),
                consumer_group="site",
            ),
        )
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            # Of an erased lead only the audit entry is stored.
            if not [each async for each in QUEUE.erased_leads(connection, ids=[lead_id])]:
                await SQL.keep_refused(
                    connection,
                    id=failed.event_id,
                    lead_id=lead_id,
                    reason=reason,
                    error=failed.error,
                    now=now,
                    topic=failed.origin.topic,
                    digest=failed.origin.offset,
                    queued_at=queued.queued_at,
                    key=submission.key.encode(),
                    payload=submission.body,
                    headers={h.TRACEPARENT: submission.traceparent} if submission.traceparent else {},
                )
            await append_entries(
                connection, [audit_entry(AuditEvent.LEAD_PARKED, failed, lead_id, actor=SITE)]
            )

    async def _audit(self, results: dict[str, ImportResult]) -> None:
        """Append an audit entry for each website whose entries were imported or refused."""
        entries = [
            AuditRecorded(
                event_id=uuid4(),
                occurred_at=self._clock(),
                event=AuditEvent.SITE_QUEUE_PULLED,
                actor=ACTOR,
                details={"site": name, "pulled": each.pulled, "refused": each.refused},
            )
            for name, each in results.items()
            if each.pulled or each.refused
        ]
        if entries:
            async with transaction(self._pool) as connection:
                await append_entries(connection, entries)


def _digest(submission: Submission) -> int:
    """Return a number that is derived from the key and the body of a refused lead.

    It is used as the offset in the lead's origin, which identifies the row in the replay queue. So a lead
    with the same key but another body gets its own row.
    """
    digest = sha256(submission.key.encode() + b"\n" + submission.body).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # PostgreSQL's bigint is signed

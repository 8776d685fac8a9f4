"""The flusher's one adapter to PostgreSQL: the replay queue, the jobs and the books."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from contracts.audit import AuditEvent
from runtime.ledger import Ledger
from runtime.postgres import Connection, Pool, load_queries, transaction
from services.flusher.intake import Failed
from services.flusher.replay import Row, after_failure, after_sending

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))
Archive = Callable[[Failed], Awaitable[None]]
Send = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True)
class Sent:
    """How many rows one chunk sent, by stage."""

    by_stage: dict[str, int]

    @property
    def total(self) -> int:
        """Return how many in all."""
        return sum(self.by_stage.values())


class Store:
    """Writes `replay_queue` and `scheduled_job`. Raises `FailedNow`, `SeekBack` and `WorldAway`."""

    def __init__(self, pool: Pool, ledger: Ledger) -> None:
        self._pool = pool
        self._ledger = ledger

    async def take(self, failures: Sequence[Failed], archive: Archive) -> None:
        """Take failures into the queue, with their audit entries and the books, in one transaction.

        A row that becomes dead is archived before the commit: a crash between the two archives it
        twice, never not at all.
        """
        async with transaction(self._pool) as connection:
            pages = await self._ledger.lock(connection, [each.record for each in failures])
            for each in failures:
                made = await self._take(connection, each, archive)
                pages.count(each.record, "stored" if made else "duplicate")
            await self._ledger.save(connection, pages)

    async def _take(self, connection: Connection, failed: Failed, archive: Archive) -> bool:
        """Return True where a row was made."""
        failure = failed.failure
        details = {
            "stage": failure.stage,
            "kind": failure.kind,
            "reason": failure.reason,
            "final": failure.final,
            "attempts": failure.attempts,
        }
        if not await _audit(connection, failure.event_id, AuditEvent.LEAD_PARKED, failed, details):
            return False
        found = await SQL.find_row(connection, **failed.place())
        before = Row(found["state"], found["attempts"], found["next_attempt_at"]) if found else None
        after = after_failure(before, final=failure.final, now=datetime.now(UTC), chance=random.random)
        fields = {
            "state": after.state,
            "attempts": after.attempts,
            "next_attempt_at": after.next_attempt_at,
            "final": failure.final,
            "reason": failure.reason,
            "error": failure.error,
            "record_key": failed.record.key,
            "payload": failed.record.value,
            "failed_at": failure.occurred_at,
        }
        if found:
            await SQL.update_row(connection, id=found["id"], **fields)
        else:
            origin_at = datetime.fromtimestamp(failure.origin.timestamp_ms / 1000, UTC)
            await SQL.insert_row(
                connection,
                id=uuid7(),
                **failed.place(),
                **fields,
                origin_timestamp=origin_at,
                origin_group=failure.origin.consumer_group,
                headers=failed.kept_headers(),
            )
        if after.state == "dead" and (before is None or before.state != "dead"):
            event_id = uuid5(failure.event_id, AuditEvent.LEAD_DEAD)
            await _audit(connection, event_id, AuditEvent.LEAD_DEAD, failed, details)
            await archive(failed)
        return not found

    async def count_parked(self, record: Any) -> None:
        """Put a record that could not be taken into the books."""
        async with transaction(self._pool) as connection:
            pages = await self._ledger.lock(connection, [record])
            pages.count(record, "parked")
            await self._ledger.save(connection, pages)

    async def send_chunk(self, send: Send, *, requested_only: bool, limit: int) -> Sent:
        """Send one chunk of what is due; nothing is marked before Kafka has acknowledged all of it."""
        now, by_stage = datetime.now(UTC), dict[str, int]()
        async with transaction(self._pool) as connection:
            claim = (
                SQL.claim_requested(connection, limit=limit)
                if requested_only
                else SQL.claim_due(connection, now=now, limit=limit)
            )
            for row in [row async for row in claim]:
                requested = row["requested_at"] is not None
                before = Row(row["state"], row["attempts"], row["next_attempt_at"])
                after = after_sending(before, requested=requested, now=now)
                await send({**row, "attempts": after.attempts, "sent_at": now})
                await SQL.mark_sent(
                    connection,
                    id=row["id"],
                    attempts=after.attempts,
                    next_attempt_at=after.next_attempt_at,
                    now=now,
                )
                await SQL.insert_entry(
                    connection,
                    event_id=uuid7(),
                    event=AuditEvent.LEAD_REPLAYED.value,
                    actor=row["requested_by"] or "flusher",
                    details={
                        "stage": row["stage"],
                        "kind": row["kind"],
                        "attempt": after.attempts,
                        "requested": requested,
                    },
                    lead_id=row["lead_id"],
                    request_id=None,
                )
                by_stage[row["stage"]] = by_stage.get(row["stage"], 0) + 1
        return Sent(by_stage)

    @asynccontextmanager
    async def job_lock(self, name: str) -> AsyncIterator[bool]:
        """Hold a job's lock while the block lasts; False where another flusher runs it."""
        async with transaction(self._pool) as connection:
            yield bool(await SQL.lock_job(connection, name=name))

    async def register_job(self, name: str, schedule: str, next_run_at: datetime) -> bool:
        """Make a job known; return True where a run was missed."""
        async with transaction(self._pool) as connection:
            row = await SQL.register_job(connection, name=name, schedule=schedule, next_run_at=next_run_at)
            return bool(row["overdue"])

    async def start_job(self, name: str, started_at: datetime) -> None:
        """Note that a run began."""
        async with transaction(self._pool) as connection:
            await SQL.start_job(connection, name=name, started_at=started_at)

    async def finish_job(
        self, name: str, outcome: str, duration_ms: int, details: dict[str, Any], next_run_at: datetime
    ) -> None:
        """Note how a run ended, and when the next one is."""
        async with transaction(self._pool) as connection:
            await SQL.finish_job(
                connection,
                name=name,
                outcome=outcome,
                duration_ms=duration_ms,
                details=details,
                next_run_at=next_run_at,
            )


async def _audit(
    connection: Connection, event_id: UUID, event: AuditEvent, failed: Failed, details: dict[str, Any]
) -> bool:
    made = await SQL.insert_entry(
        connection,
        event_id=event_id,
        event=event.value,
        actor="flusher",
        details=details,
        lead_id=failed.lead_id,
        request_id=None,
    )
    return made is not None

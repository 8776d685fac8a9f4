"""The intake's adapter to PostgreSQL: a failure in, its row, its entries and its place in the books out."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.audit import AuditEvent, AuditRecorded
from contracts.failures import LeadFailed
from contracts.reasons import Reason
from runtime import metrics
from runtime.database.audit_log import append_entries
from runtime.database.erasure import block_erasures
from runtime.database.ledger import Ledger, Outcome
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.failures import RetryableError
from services.flusher.failed_record import FailedRecord, dead_event_id, entry, strip_personal_data
from services.flusher.retries.retry_rules import NextState, OutgoingRecord, Row, after_failure, archived

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))
ACTOR: Final = "flusher"
_COLUMNS: Final = [each.name for each in fields(Row)]

Archive = Callable[[Sequence[OutgoingRecord]], Awaitable[None]]
Clock = Callable[[], datetime]


class Store:
    """Keeps the queue. Raises `RetryableError`, `RewindRequired` and `DependencyUnavailable`."""

    def __init__(self, pool: Pool, ledger: Ledger, clock: Clock, rng: random.Random | None = None) -> None:
        self._pool = pool
        self._ledger = ledger
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret

    async def take(self, batch: Sequence[FailedRecord], archive: Archive) -> dict[str, int]:
        """Take a batch whole or not at all; `archive` has what became dead before this commits."""
        counts, dead, dead_letters = Counter[str](), Counter[str](), list[OutgoingRecord]()
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            ids = list({parked.lead_id for parked in batch if parked.lead_id})
            erased = {row["id"] async for row in SQL.erased_leads(connection, ids=ids)}
            ledger_entries = await self._ledger.lock(connection, [parked.record for parked in batch])
            new = await append_entries(connection, [_parked_entry(parked) for parked in batch])
            new -= await _taken_by_earlier_versions(connection, batch, new)
            for parked in batch:
                if parked.lead_id in erased:
                    outcome, dead_letter = await self._store_erased(connection, parked, new)
                else:
                    outcome, dead_letter = await self._store_failure(connection, parked, new)
                ledger_entries.count(parked.record, outcome)
                counts[outcome] += 1
                if dead_letter:
                    dead_letters.append(dead_letter)
                    dead[parked.failure.stage] += 1
            await archive(dead_letters)
            await self._ledger.save(connection, ledger_entries)
        for stage, rows in dead.items():
            metrics.DEAD.labels(stage=stage).inc(rows)
        return {**counts, "dead": dead.total()}

    async def _store_failure(
        self, connection: Connection, parked: FailedRecord, new: set[UUID]
    ) -> tuple[Outcome, OutgoingRecord | None]:
        """Keep one failure, or know it as a repeat; return its dead letter where it brought one."""
        failure = parked.failure
        if failure.event_id not in new:
            return "duplicate", None
        new.discard(failure.event_id)  # its second record in this batch is a repeat
        row, parked = await _find_row(connection, parked)
        next_state = after_failure(row, final=parked.final, now=self._clock(), rng=self._rng)
        if row is None and next_state:
            if await SQL.insert_row(connection, id=failure.event_id, **_columns(parked, next_state)):
                return "stored", await self._mark_dead(connection, parked, None, next_state)
            # An admin made it at this very moment.
            row, parked = await _find_row(connection, parked)
            next_state = after_failure(row, final=parked.final, now=self._clock(), rng=self._rng)
        if row is None:
            raise RetryableError(Reason.QUEUE_ROW_MISSING)
        if next_state is None:
            noted = {"reason": failure.reason, "error": failure.error, "failed_at": failure.occurred_at}
            await SQL.note_failure(connection, id=row.id, **noted)
            return "duplicate", None
        change = SQL.renew_row if row.state == "resolved" else SQL.move_row
        await change(connection, **{**_columns(parked, next_state), "id": row.id})
        return "duplicate", await self._mark_dead(connection, parked, row, next_state)

    async def _store_erased(
        self, connection: Connection, parked: FailedRecord, new: set[UUID]
    ) -> tuple[Outcome, None]:
        """Keep that an erased lead failed, so that the books balance; nothing of it is sent or kept."""
        event_id = parked.failure.event_id
        if event_id not in new:
            return "duplicate", None
        new.discard(event_id)
        row, parked = await _find_row(connection, parked)
        columns = _columns(strip_personal_data(parked), NextState("archived", 0, None))
        if row is None and await SQL.insert_row(connection, id=event_id, **columns):
            return "stored", None
        return "duplicate", None

    async def _mark_dead(
        self, connection: Connection, parked: FailedRecord, row: Row | None, next_state: NextState
    ) -> OutgoingRecord | None:
        """Tell that a row is dead, where it is, and return its dead letter: the bytes that first failed."""
        if next_state.state != "dead":
            return None
        failure = parked.failure
        first = row if row and row.payload is not None else None
        dead = failure.model_copy(
            update={
                "event_id": dead_event_id(failure),
                "queue_id": row.id if row else failure.event_id,
                "origin": first.origin if first else failure.origin,
                "attempts": next_state.attempts,
                "occurred_at": self._clock(),
            }
        )
        await append_entries(connection, [entry(AuditEvent.LEAD_DEAD, dead, parked.lead_id, actor=ACTOR)])
        await settle_dead_mail(connection, dead, parked.lead_id, failure.event_id)
        if first:
            return archived(dead, first.record_key, first.payload, first.headers)
        return archived(dead, parked.record.key, parked.record.value, parked.kept)


async def _taken_by_earlier_versions(
    connection: Connection, batch: Sequence[FailedRecord], new: set[UUID]
) -> set[UUID]:
    """Return the new failures that made a row under the id of earlier versions: repeats, over an upgrade.

    Only those of the same record: one at the offset of a lost record has another time.
    """
    earlier = {
        legacy_id: parked
        for parked in batch
        if parked.failure.event_id in new and (legacy_id := parked.legacy_id)
    }
    if not earlier:
        return set()
    return {
        earlier[row["id"]].failure.event_id
        async for row in SQL.origin_times(connection, ids=list(earlier))
        if row["origin_timestamp"] == earlier[row["id"]].origin_at
    }


async def settle_dead_mail(
    connection: Connection, dead: LeadFailed, lead_id: UUID | None, failure_id: UUID
) -> None:
    """Record that the mail of a dead row is dead. The notifier itself records a mail that failed for good."""
    if dead.stage != "notifier" or lead_id is None:
        return
    mail = await SQL.settle_dead_mail(connection, lead_id=lead_id, kind=dead.kind, failure_id=failure_id)
    if mail and (mail["state"] == "dead" or not dead.final):
        failed = AuditRecorded(
            event_id=uuid5(dead.event_id, AuditEvent.EMAIL_FAILED),
            occurred_at=dead.occurred_at,
            event=AuditEvent.EMAIL_FAILED,
            actor=ACTOR,
            lead_id=lead_id,
            details={"kind": dead.kind, "reason": dead.reason, "final": True, "attempt": mail["attempts"]},
        )
        await append_entries(connection, [failed])


def _parked_entry(parked: FailedRecord) -> AuditRecorded:
    return entry(AuditEvent.LEAD_PARKED, parked.failure, parked.lead_id, actor=parked.failure.stage)


async def _find_row(connection: Connection, parked: FailedRecord) -> tuple[Row | None, FailedRecord]:
    """Find the row that a failure belongs to: the one that sent the record, else by its name."""
    failure, found = parked.failure, None
    names = {"stage": failure.stage, "kind": failure.kind}
    if failure.queue_id:
        found = await SQL.find_by_id(connection, id=failure.queue_id, **names)
    if not found and parked.lead_id and not parked.by_origin:
        found = await SQL.find_by_lead(connection, lead_id=parked.lead_id, **names)
        if found and failure.stage == "persister" and _is_another(row_of(found), parked):
            # The same id came again, maybe with another body: bytes of its own, a row of its own.
            found, parked = None, replace(parked, by_origin=True)
    if not found and (parked.by_origin or not parked.lead_id):
        origin = failure.origin
        found = await SQL.find_by_origin(
            connection,
            topic=origin.topic,
            partition=origin.partition,
            offset=origin.offset,
            **names,
        )
    return (row_of(found) if found else None), parked


def _is_another(row: Row, parked: FailedRecord) -> bool:
    origin = parked.failure.origin
    position = (row.origin_topic, row.origin_partition, row.origin_offset)
    return row.state != "resolved" and position != (origin.topic, origin.partition, origin.offset)


def row_of(found: Any) -> Row:
    """Take from a table's row what decisions need."""
    return Row(**{name: found[name] for name in _COLUMNS})


def _columns(parked: FailedRecord, next_state: NextState) -> dict[str, Any]:
    failure = parked.failure
    return {
        "stage": failure.stage,
        "kind": failure.kind,
        "lead_id": parked.lead_id,
        "state": next_state.state,
        "final": parked.final,
        "by_origin": parked.by_origin,
        "replay_lead_id": parked.replay_lead_id,
        "reason": failure.reason,
        "error": failure.error,
        "attempts": next_state.attempts,
        "next_attempt_at": next_state.next_attempt_at,
        "topic": failure.origin.topic,
        "partition": failure.origin.partition,
        "offset": failure.origin.offset,
        "origin_at": parked.origin_at,
        "origin_group": failure.origin.consumer_group,
        "key": parked.record.key,
        "payload": parked.record.value,
        "headers": parked.kept,
        "failed_at": failure.occurred_at,
    }

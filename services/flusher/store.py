"""Stores failures in PostgreSQL: the row in `replay_queue`, the audit entries and the ledger."""

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
from services.flusher.failed_record import FailedRecord, audit_entry, dead_event_id, strip_personal_data
from services.flusher.retries.retry_rules import NextState, OutgoingRecord, Row, after_failure, dead_letter_of

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))
ACTOR: Final = "flusher"
_COLUMNS: Final = [each.name for each in fields(Row)]

PublishDeadLetters = Callable[[Sequence[OutgoingRecord]], Awaitable[None]]
Clock = Callable[[], datetime]


class Store:
    """Writes `replay_queue`. Raises `RetryableError`, `RewindRequired` and `DependencyUnavailable`."""

    def __init__(self, pool: Pool, ledger: Ledger, clock: Clock, rng: random.Random | None = None) -> None:
        self._pool = pool
        self._ledger = ledger
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret

    async def store_failures(
        self, batch: Sequence[FailedRecord], publish: PublishDeadLetters
    ) -> dict[str, int]:
        """Store a batch in one transaction. Return the number of failures by outcome.

        The key `dead` has the number of rows that became dead. `publish` sends the dead letters before the
        transaction commits.
        """
        counts, dead, dead_letters = Counter[str](), Counter[str](), list[OutgoingRecord]()
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            ids = list({failed.lead_id for failed in batch if failed.lead_id})
            erased = {row["id"] async for row in SQL.erased_leads(connection, ids=ids)}
            ledger_entries = await self._ledger.lock(connection, [failed.record for failed in batch])
            new = await append_entries(connection, [_failure_audit_entry(failed) for failed in batch])
            new -= await _stored_by_earlier_versions(connection, batch, new)
            for failed in batch:
                if failed.lead_id in erased:
                    outcome, dead_letter = await self._store_erased(connection, failed, new)
                else:
                    outcome, dead_letter = await self._store_failure(connection, failed, new)
                ledger_entries.count(failed.record, outcome)
                counts[outcome] += 1
                if dead_letter:
                    dead_letters.append(dead_letter)
                    dead[failed.failure.stage] += 1
            await publish(dead_letters)
            await self._ledger.save(connection, ledger_entries)
        for stage, rows in dead.items():
            metrics.DEAD.labels(stage=stage).inc(rows)
        return {**counts, "dead": dead.total()}

    async def _store_failure(
        self, connection: Connection, failed: FailedRecord, new: set[UUID]
    ) -> tuple[Outcome, OutgoingRecord | None]:
        """Store one failure, or ignore a repeated one. Also returns a dead letter if the row becomes dead.

        `new` are the event ids of failures that are not stored yet. The id of this failure is removed from
        `new`.
        """
        failure = failed.failure
        if failure.event_id not in new:
            return "duplicate", None
        new.discard(failure.event_id)  # a second record in this batch is a duplicate
        row, failed = await _find_row(connection, failed)
        next_state = after_failure(row, final=failed.final, now=self._clock(), rng=self._rng)
        if row is None and next_state:
            if await SQL.insert_row(connection, id=failure.event_id, **_columns(failed, next_state)):
                return "stored", await self._mark_dead(connection, failed, None, next_state)
            # An admin created the row at the same moment.
            row, failed = await _find_row(connection, failed)
            next_state = after_failure(row, final=failed.final, now=self._clock(), rng=self._rng)
        if row is None:
            raise RetryableError(Reason.QUEUE_ROW_MISSING)
        if next_state is None:
            last_failure = {
                "reason": failure.reason,
                "error": failure.error,
                "failed_at": failure.occurred_at,
            }
            await SQL.note_failure(connection, id=row.id, **last_failure)
            return "duplicate", None
        change = SQL.renew_row if row.state == "resolved" else SQL.move_row
        await change(connection, **{**_columns(failed, next_state), "id": row.id})
        return "duplicate", await self._mark_dead(connection, failed, row, next_state)

    async def _store_erased(
        self, connection: Connection, failed: FailedRecord, new: set[UUID]
    ) -> tuple[Outcome, None]:
        """Store the failure of an erased lead without personal data, so that the ledger can count it."""
        event_id = failed.failure.event_id
        if event_id not in new:
            return "duplicate", None
        new.discard(event_id)
        row, failed = await _find_row(connection, failed)
        columns = _columns(strip_personal_data(failed), NextState("archived", 0, None))
        if row is None and await SQL.insert_row(connection, id=event_id, **columns):
            return "stored", None
        return "duplicate", None

    async def _mark_dead(
        self, connection: Connection, failed: FailedRecord, row: Row | None, next_state: NextState
    ) -> OutgoingRecord | None:
        """If the next state is dead, record that, and return the dead letter.

        The dead letter has the bytes of the record that failed first, if the row still has them.
        """
        if next_state.state != "dead":
            return None
        failure = failed.failure
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
        await append_entries(
            connection, [audit_entry(AuditEvent.LEAD_DEAD, dead, failed.lead_id, actor=ACTOR)]
        )
        await mark_mail_dead(connection, dead, failed.lead_id, failure.event_id)
        if first:
            return dead_letter_of(dead, first.record_key, first.payload, first.headers)
        return dead_letter_of(dead, failed.record.key, failed.record.value, failed.kept_headers)


async def _stored_by_earlier_versions(
    connection: Connection, batch: Sequence[FailedRecord], new: set[UUID]
) -> set[UUID]:
    """Return the ids in `new` whose failures an earlier version stored under another id: they are duplicates.

    A failure is a duplicate only if the time of the original record is the same too. If Kafka lost a record,
    a later record may have the same offset, but not the same time.
    """
    earlier = {
        legacy_id: failed
        for failed in batch
        if failed.failure.event_id in new and (legacy_id := failed.legacy_id)
    }
    if not earlier:
        return set()
    return {
        earlier[row["id"]].failure.event_id
        async for row in SQL.origin_times(connection, ids=list(earlier))
        if row["origin_timestamp"] == earlier[row["id"]].origin_at
    }


async def mark_mail_dead(
    connection: Connection, dead: LeadFailed, lead_id: UUID | None, failure_id: UUID
) -> None:
    """Set the mail of a dead row to `dead`, and append an audit entry. Only rows of the notifier have a mail.

    If the notifier has not committed the mail's outcome yet, stores `failure_id` in the mail's row instead of
    the state. The notifier then commits the mail as dead. If the failure is final, the notifier also appends
    the audit entry.
    """
    if dead.stage != "notifier" or lead_id is None:
        return
    mail = await SQL.mark_mail_dead(connection, lead_id=lead_id, kind=dead.kind, failure_id=failure_id)
    if mail and (mail["state"] == "dead" or not dead.final):
        mail_failed = AuditRecorded(
            event_id=uuid5(dead.event_id, AuditEvent.EMAIL_FAILED),
            occurred_at=dead.occurred_at,
            event=AuditEvent.EMAIL_FAILED,
            actor=ACTOR,
            lead_id=lead_id,
            details={"kind": dead.kind, "reason": dead.reason, "final": True, "attempt": mail["attempts"]},
        )
        await append_entries(connection, [mail_failed])


def _failure_audit_entry(failed: FailedRecord) -> AuditRecorded:
    return audit_entry(AuditEvent.LEAD_PARKED, failed.failure, failed.lead_id, actor=failed.failure.stage)


async def _find_row(connection: Connection, failed: FailedRecord) -> tuple[Row | None, FailedRecord]:
    """Return the row of a failure: the row that sent the failed record, else the row of its lead or origin.

    Also returns `failed`. The lead's row may be for another record with the same lead id. Then `by_origin` of
    the returned failure is True, so that the failure gets its own row.
    """
    failure, found = failed.failure, None
    names = {"stage": failure.stage, "kind": failure.kind}
    if failure.queue_id:
        found = await SQL.find_by_id(connection, id=failure.queue_id, **names)
    if not found and failed.lead_id and not failed.by_origin:
        found = await SQL.find_by_lead(connection, lead_id=failed.lead_id, **names)
        if found and failure.stage == "persister" and _has_other_origin(row_of(found), failed):
            # The same id came again, maybe with another body, so it gets a row of its own.
            found, failed = None, replace(failed, by_origin=True)
    if not found and (failed.by_origin or not failed.lead_id):
        origin = failure.origin
        found = await SQL.find_by_origin(
            connection,
            topic=origin.topic,
            partition=origin.partition,
            offset=origin.offset,
            **names,
        )
    return (row_of(found) if found else None), failed


def _has_other_origin(row: Row, failed: FailedRecord) -> bool:
    origin = failed.failure.origin
    position = (row.origin_topic, row.origin_partition, row.origin_offset)
    return row.state != "resolved" and position != (origin.topic, origin.partition, origin.offset)


def row_of(record: Any) -> Row:
    """Return a database row of `replay_queue` as a `Row`."""
    return Row(**{name: record[name] for name in _COLUMNS})


def _columns(failed: FailedRecord, next_state: NextState) -> dict[str, Any]:
    failure = failed.failure
    return {
        "stage": failure.stage,
        "kind": failure.kind,
        "lead_id": failed.lead_id,
        "state": next_state.state,
        "final": failed.final,
        "by_origin": failed.by_origin,
        "replay_lead_id": failed.replay_lead_id,
        "reason": failure.reason,
        "error": failure.error,
        "attempts": next_state.attempts,
        "next_attempt_at": next_state.next_attempt_at,
        "topic": failure.origin.topic,
        "partition": failure.origin.partition,
        "offset": failure.origin.offset,
        "origin_at": failed.origin_at,
        "origin_group": failure.origin.consumer_group,
        "key": failed.record.key,
        "payload": failed.record.value,
        "headers": failed.kept_headers,
        "failed_at": failure.occurred_at,
    }

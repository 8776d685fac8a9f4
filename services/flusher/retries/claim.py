"""A claim: rows that an open transaction has locked. Its methods record the results of sending the rows."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from contracts.audit import AuditEvent, AuditRecorded
from contracts.failures import LeadFailed
from runtime.database.audit_log import append_entries
from runtime.database.postgres import Connection
from runtime.failures import DependencyUnavailable
from services.flusher.failed_record import audit_entry
from services.flusher.retries.retry_rules import (
    OVERDUE_AFTER,
    Cause,
    NextState,
    Row,
    SendResult,
    after_failure,
    attempts_after_send,
    cause_of,
    dead_letter_of,
)
from services.flusher.store import ACTOR, SQL, PublishDeadLetters, mark_mail_dead


@dataclass(frozen=True)
class DeadRow:
    """A row that becomes dead, and its last failure.

    `next_state` is None if the row becomes dead because it cannot be sent.
    """

    row: Row
    failed: LeadFailed
    next_state: NextState | None = None


@dataclass(frozen=True)
class Claim:
    """Rows that an open transaction has locked. Every change takes effect when the transaction commits.

    `replay_id` is the id of the replay that the rows belong to, or None. `skipped` are the ids of the
    replay's rows that cannot be replayed.
    """

    connection: Connection
    rows: list[Row]
    now: datetime
    replay_id: UUID | None = None
    skipped: Sequence[UUID] = ()

    async def record_results(
        self, result: SendResult, publish: PublishDeadLetters, rng: random.Random
    ) -> list[Row]:
        """Record the results of sending, and return the rows that became dead.

        `publish` sends the dead letters of these rows before the rows are recorded as dead. `rng` adds jitter
        to the times of the next retries.
        """
        await self._mark_sent(result.acknowledged)
        await self._resolve(result.delivered)
        dying = [
            *await self._reschedule_refused(result.refused, rng),
            *map(self._unsendable, result.unsendable),
        ]
        try:
            await publish(
                [dead_letter_of(d.failed, d.row.record_key, d.row.payload, d.row.headers) for d in dying]
            )
        except DependencyUnavailable as error:
            # A row becomes dead only once Kafka has its dead letter. The other rows do not wait for that.
            result.postpone([dead.row for dead in dying], error)
            dying = []
        for dead in dying:
            await self._mark_dead(dead)
        processed = (*result.acknowledged, *result.delivered, *result.refused, *result.unsendable)
        await self.move_to_end(
            (row.id for row, _ in result.unavailable), processed=[row.id for row, _ in processed]
        )
        return [dead.row for dead in dying]

    async def move_to_end(self, ids: Iterable[UUID], *, processed: Sequence[UUID] = ()) -> None:
        """Move the rows with these ids to the end of the queue.

        If the claim belongs to a replay, the rows move to the end of the replay instead. The rows in
        `processed` are then marked as processed.
        """
        if not self.replay_id:
            await SQL.move_to_end(self.connection, ids=list(ids), now=self.now)
            return
        await SQL.end_tick(
            self.connection,
            replay_id=self.replay_id,
            ids=[*processed, *self.skipped],
            skipped=self.skipped,
            postpone=list(ids),
            now=self.now,
        )

    async def _mark_sent(self, sent: Sequence[tuple[Row, UUID]]) -> None:
        await SQL.mark_sent(
            self.connection,
            ids=[row.id for row, _ in sent],
            attempts=[attempts_after_send(row) for row, _ in sent],
            overdue_at=self.now + OVERDUE_AFTER,
            now=self.now,
        )
        await append_entries(self.connection, [self._replayed_entry(row, event_id) for row, event_id in sent])

    async def _resolve(self, delivered: Sequence[tuple[Row, UUID]]) -> None:
        await SQL.resolve_rows(self.connection, ids=[row.id for row, _ in delivered], now=self.now)
        await append_entries(
            self.connection, [self._replayed_entry(row, event_id) for row, event_id in delivered]
        )

    async def _reschedule_refused(
        self, refused: Sequence[tuple[Row, str]], rng: random.Random
    ) -> list[DeadRow]:
        """Schedule the next retry of these rows, and return the rows that have no retry left."""
        dying = []
        for row, reason in refused:
            attempts = attempts_after_send(row)
            tried = replace(row, state="replaying", attempts=attempts, reason=reason)
            next_state = after_failure(tried, final=False, now=self.now, rng=rng)
            if next_state is None:
                continue
            dead = DeadRow(row, tried.failure(uuid4(), self.now), next_state)
            if next_state.state == "dead":
                dying.append(dead)
            else:
                await self._move(dead, next_state)
        return dying

    async def _move(self, dead: DeadRow, next_state: NextState) -> None:
        row, failed = dead.row, dead.failed
        await SQL.move_row(
            self.connection,
            **vars(next_state),
            id=row.id,
            final=False,
            by_origin=row.by_origin,
            replay_lead_id=row.replay_lead_id,
            reason=failed.reason,
            error=failed.error,
            failed_at=self.now,
        )
        tried = replace(row, state="replaying", attempts=next_state.attempts, reason=failed.reason)
        await append_entries(self.connection, [self._replayed_entry(tried, uuid4(), cause_of(row))])

    def _unsendable(self, unsendable: tuple[Row, str]) -> DeadRow:
        row, reason = unsendable
        changes = {"final": True, "reason": reason, "attempts": row.attempts}
        return DeadRow(row, row.failure(uuid4(), self.now).model_copy(update=changes))

    async def _mark_dead(self, dead: DeadRow) -> None:
        if dead.next_state:
            await self._move(dead, dead.next_state)
        else:
            await SQL.mark_dead(self.connection, id=dead.row.id, reason=dead.failed.reason)
        event = audit_entry(AuditEvent.LEAD_DEAD, dead.failed, dead.row.lead_id, actor=ACTOR)
        await append_entries(self.connection, [event])
        await mark_mail_dead(self.connection, dead.failed, dead.row.lead_id, dead.failed.event_id)

    def _replayed_entry(self, row: Row, event_id: UUID, cause: Cause | None = None) -> AuditRecorded:
        cause = cause or cause_of(row)
        details: dict[str, str] = {"cause": cause}
        if row.replay_lead_id:
            details["replayed_as"] = str(row.replay_lead_id)
        if self.replay_id:
            details["replay_id"] = str(self.replay_id)
        if cause == "requested" and row.requested_comment:
            details["comment"] = row.requested_comment
        return audit_entry(
            AuditEvent.LEAD_REPLAYED,
            row.failure(event_id, self.now),
            row.lead_id,
            actor=(cause == "requested" and row.requested_by) or ACTOR,
            details=details,
        )

"""Rows of the queue that an open transaction holds, and what becomes of them. Nothing is sent from here."""

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
from services.flusher.failed_record import entry
from services.flusher.retries.retry_rules import (
    OVERDUE_AFTER,
    Cause,
    NextState,
    Row,
    SendResult,
    after_failure,
    archived,
    attempts_after_send,
    cause_of,
)
from services.flusher.store import ACTOR, SQL, Archive, settle_dead_mail


@dataclass(frozen=True)
class DeadRow:
    """A row that is given up, and its last failure. `next_state` is None where it could never be sent."""

    row: Row
    failed: LeadFailed
    next_state: NextState | None = None


@dataclass(frozen=True)
class Claim:
    """Rows held by an open transaction: what is marked here is marked when it commits."""

    connection: Connection
    rows: list[Row]
    now: datetime
    replay_id: UUID | None = None
    skipped: Sequence[UUID] = ()

    async def settle(self, sent: SendResult, archive: Archive, rng: random.Random) -> list[Row]:
        """Record what became of these rows; return those that died, archived before this commits."""
        await self._mark_sent(sent.acknowledged)
        await self._resolve(sent.delivered)
        dying = [*await self._reschedule_refused(sent.refused, rng), *map(self._unsendable, sent.unsendable)]
        try:
            await archive([archived(d.failed, d.row.record_key, d.row.payload, d.row.headers) for d in dying])
        except DependencyUnavailable as away:
            # A row is given up only once Kafka has its dead letter. The other rows do not wait for that.
            sent.postpone([death.row for death in dying], away)
            dying = []
        for death in dying:
            await self._mark_dead(death)
        had = (*sent.acknowledged, *sent.delivered, *sent.refused, *sent.unsendable)
        await self.move_to_end((row.id for row, _ in sent.away), had=[row.id for row, _ in had])
        return [death.row for death in dying]

    async def move_to_end(self, ids: Iterable[UUID], *, had: Sequence[UUID] = ()) -> None:
        """Let the rows behind these go first; `had` are rows of a replay that had their turn."""
        if not self.replay_id:
            await SQL.move_to_end(self.connection, ids=list(ids), now=self.now)
            return
        await SQL.end_tick(
            self.connection,
            replay_id=self.replay_id,
            ids=[*had, *self.skipped],
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
        await append_entries(self.connection, [self._replayed(row, event_id) for row, event_id in sent])

    async def _resolve(self, delivered: Sequence[tuple[Row, UUID]]) -> None:
        await SQL.resolve_rows(self.connection, ids=[row.id for row, _ in delivered], now=self.now)
        await append_entries(self.connection, [self._replayed(row, event_id) for row, event_id in delivered])

    async def _reschedule_refused(
        self, refused: Sequence[tuple[Row, str]], rng: random.Random
    ) -> list[DeadRow]:
        """Give each its next time, and return those that had their last."""
        dying = []
        for row, reason in refused:
            attempts = attempts_after_send(row)
            tried = replace(row, state="replaying", attempts=attempts, reason=reason)
            next_state = after_failure(tried, final=False, now=self.now, rng=rng)
            if next_state is None:
                continue
            death = DeadRow(row, tried.failure(uuid4(), self.now), next_state)
            if next_state.state == "dead":
                dying.append(death)
            else:
                await self._move(death, next_state)
        return dying

    async def _move(self, death: DeadRow, next_state: NextState) -> None:
        row, failed = death.row, death.failed
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
        await append_entries(self.connection, [self._replayed(tried, uuid4(), cause_of(row))])

    def _unsendable(self, unsendable: tuple[Row, str]) -> DeadRow:
        row, reason = unsendable
        changes = {"final": True, "reason": reason, "attempts": row.attempts}
        return DeadRow(row, row.failure(uuid4(), self.now).model_copy(update=changes))

    async def _mark_dead(self, death: DeadRow) -> None:
        """Record that a row is dead."""
        if death.next_state:
            await self._move(death, death.next_state)
        else:
            await SQL.mark_dead(self.connection, id=death.row.id, reason=death.failed.reason)
        dead = entry(AuditEvent.LEAD_DEAD, death.failed, death.row.lead_id, actor=ACTOR)
        await append_entries(self.connection, [dead])
        await settle_dead_mail(self.connection, death.failed, death.row.lead_id, death.failed.event_id)

    def _replayed(self, row: Row, event_id: UUID, cause: Cause | None = None) -> AuditRecorded:
        cause = cause or cause_of(row)
        details: dict[str, str] = {"cause": cause}
        if row.replay_lead_id:
            details["replayed_as"] = str(row.replay_lead_id)
        if self.replay_id:
            details["replay_id"] = str(self.replay_id)
        if cause == "requested" and row.requested_comment:
            details["comment"] = row.requested_comment
        return entry(
            AuditEvent.LEAD_REPLAYED,
            row.failure(event_id, self.now),
            row.lead_id,
            actor=(cause == "requested" and row.requested_by) or ACTOR,
            details=details,
        )

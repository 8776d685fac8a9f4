"""The sending side's adapter to PostgreSQL: rows claimed and marked, and the job's runs recorded."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from contracts import topics
from contracts.audit import AuditEvent, AuditRecorded
from contracts.failures import LeadFailed
from runtime.postgres import Connection, Pool, transaction
from services.flusher.intake import entry
from services.flusher.replay import (
    OVERDUE_AFTER,
    SITE,
    Cause,
    Row,
    Sent,
    after_failure,
    archived,
    attempts_after_send,
    cause_of,
    wanted_again,
)
from services.flusher.store import ACTOR, SQL, Archive, Clock, row_of, settle_dead_mail, tell

# A website's leads go to the gateway, all others to Kafka: neither waits while the other is away.
WAYS: Final = (list(topics.RETRY), [SITE])
STAGES: Final = [stage for way in WAYS for stage in way]


@dataclass(frozen=True)
class Claim:
    """Rows held by an open transaction: what is marked here is marked when it commits."""

    connection: Connection
    rows: list[Row]
    now: datetime
    replay_id: UUID | None = None
    skipped: Sequence[UUID] = ()

    async def settle(self, sent: Sent, archive: Archive, rng: random.Random) -> list[Row]:
        """Record what became of these rows; return those that died, archived before this commits."""
        await self._mark_sent(sent.acknowledged)
        await self._resolve(sent.delivered)
        died = await self._bury(await self._put_back(sent.refused, rng), sent.impossible, archive)
        if self.replay_id:
            await self._end_turn(sent)
        return died

    async def _mark_sent(self, sent: Sequence[tuple[Row, UUID]]) -> None:
        await SQL.mark_sent(
            self.connection,
            ids=[row.id for row, _ in sent],
            attempts=[attempts_after_send(row) for row, _ in sent],
            overdue_at=self.now + OVERDUE_AFTER,
            now=self.now,
        )
        await tell(self.connection, [self._replayed(row, event_id) for row, event_id in sent])

    async def _resolve(self, delivered: Sequence[tuple[Row, UUID]]) -> None:
        await SQL.resolve_rows(self.connection, ids=[row.id for row, _ in delivered], now=self.now)
        await tell(self.connection, [self._replayed(row, event_id) for row, event_id in delivered])

    async def _put_back(
        self, refused: Sequence[tuple[Row, str]], rng: random.Random
    ) -> list[tuple[Row, LeadFailed]]:
        """Give each its next time, and return those that had their last."""
        dead = []
        for row, reason in refused:
            attempts = attempts_after_send(row)
            tried = replace(row, state="replaying", attempts=attempts, reason=reason)
            place = after_failure(tried, final=False, now=self.now, rng=rng)
            if place is None:
                continue
            failed = tried.failure(uuid4(), self.now)
            await SQL.move_row(
                self.connection,
                **vars(place),
                id=row.id,
                final=False,
                by_origin=row.by_origin,
                replay_lead_id=row.replay_lead_id,
                reason=reason,
                error=failed.error,
                failed_at=self.now,
            )
            await tell(self.connection, [self._replayed(tried, uuid4(), cause_of(row))])
            if place.state == "dead":
                dead.append((row, failed))
        return dead

    async def _bury(
        self,
        dead: Sequence[tuple[Row, LeadFailed]],
        impossible: Sequence[tuple[Row, str]],
        archive: Archive,
    ) -> list[Row]:
        """Tell of the rows that are dead; those that can never be sent are made so here."""
        buried = list(dead)
        for row, reason in impossible:
            await SQL.bury_row(self.connection, id=row.id, reason=reason)
            changes = {"final": True, "reason": reason, "attempts": row.attempts}
            buried.append((row, row.failure(uuid4(), self.now).model_copy(update=changes)))
        letters = []
        for row, failed in buried:
            await tell(self.connection, [entry(AuditEvent.LEAD_DEAD, failed, row.lead_id, actor=ACTOR)])
            await settle_dead_mail(self.connection, failed, row.lead_id, failed.event_id)
            letters.append(archived(failed, row.record_key, row.payload, row.headers))
        await archive(letters)
        return [row for row, _ in buried]

    async def _end_turn(self, sent: Sent) -> None:
        """Record which rows of a replay had their turn."""
        had = (*sent.acknowledged, *sent.delivered, *sent.refused, *sent.impossible)
        await SQL.end_turn(
            self.connection,
            replay_id=self.replay_id,
            ids=[*(row.id for row, _ in had), *self.skipped],
            skipped=self.skipped,
            now=self.now,
        )

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


class Outbox:
    """What is to be sent, and the job that sends it. Raises `FailedNow` and `WorldAway`."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def has_requests(self) -> bool:
        """Return True where an admin wants something sent now."""
        async with transaction(self._pool) as connection:
            wanted: bool = await SQL.has_requests(connection, stages=STAGES)
            return wanted

    @asynccontextmanager
    async def claimed(
        self, what: Literal["due", "requested"], stages: list[str], chunk: int
    ) -> AsyncIterator["Claim"]:
        """Hold a chunk of rows that are to be sent now; nobody else has them meanwhile."""
        now = self._clock()
        async with transaction(self._pool) as connection:
            if what == "due":
                found = SQL.claim_due(connection, stages=stages, now=now, chunk=chunk)
            else:
                found = SQL.claim_requested(connection, stages=stages, chunk=chunk)
            yield Claim(connection, [row_of(each) async for each in found], now)

    @asynccontextmanager
    async def claimed_turn(self, now: datetime) -> AsyncIterator["Claim | None"]:
        """Hold a running replay and the rows whose turn it is; None where each had its turn by `now`."""
        async with transaction(self._pool) as connection:
            replay = await SQL.claim_replay(connection, now=now)
            if replay is None:
                yield None
                return
            found = SQL.claim_replay_rows(connection, replay_id=replay["id"], chunk=replay["per_second"])
            rows, skipped = list[Row](), list[UUID]()
            async for each in found:
                row = wanted_again(row_of(each), replay["requested_by"], replay["comment"], now)
                if row:
                    rows.append(row)
                else:
                    skipped.append(each["id"])
            yield Claim(connection, rows, now, replay["id"], skipped)

    @asynccontextmanager
    async def job_lock(self, name: str) -> AsyncIterator[bool]:
        """Hold a job's lock, over all flushers; yields False where another has it."""
        async with transaction(self._pool) as connection:
            yield await SQL.try_job_lock(connection, name=name)

    async def is_job_requested(self, name: str) -> bool:
        """Return True where an admin wants this job run now."""
        async with transaction(self._pool) as connection:
            wanted: bool = await SQL.is_job_requested(connection, name=name)
            return wanted

    async def begin_run(self, name: str, schedule: str, next_run_at: datetime | None) -> int | None:
        """Record that a run begins and return its number; None where this tick was run already."""
        async with transaction(self._pool) as connection:
            runs: int | None = await SQL.begin_run(
                connection, name=name, schedule=schedule, now=self._clock(), next_run_at=next_run_at
            )
            return runs

    async def end_run(
        self, name: str, runs: int, outcome: str, duration_ms: int, details: dict[str, Any]
    ) -> None:
        """Record how a run went."""
        async with transaction(self._pool) as connection:
            await SQL.end_run(
                connection,
                name=name,
                runs=runs,
                now=self._clock(),
                outcome=outcome,
                duration_ms=duration_ms,
                details=details,
            )

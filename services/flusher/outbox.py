"""The sending side's adapter to PostgreSQL: rows claimed and marked, and the job's runs recorded."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from contracts import topics
from contracts.audit import AuditEvent, AuditRecorded
from runtime.postgres import Connection, Pool, transaction
from services.flusher.intake import entry
from services.flusher.replay import OVERDUE_AFTER, Row, archived, attempts_after_send, cause_of, wanted_again
from services.flusher.store import ACTOR, SQL, Archive, Clock, row_of, tell

STAGES: Final = list(topics.RETRY)


@dataclass(frozen=True)
class Claim:
    """Rows held by an open transaction: what is marked here is marked when it commits."""

    connection: Connection
    rows: list[Row]
    now: datetime
    replay_id: UUID | None = None
    skipped: Sequence[UUID] = ()

    async def mark_sent(self, sent: Sequence[tuple[Row, UUID]]) -> None:
        """Record what Kafka has acknowledged, and who wanted it."""
        await SQL.mark_sent(
            self.connection,
            ids=[row.id for row, _ in sent],
            attempts=[attempts_after_send(row) for row, _ in sent],
            overdue_at=self.now + OVERDUE_AFTER,
            now=self.now,
        )
        await tell(self.connection, [self._replayed(row, event_id) for row, event_id in sent])

    async def end_turn(self, sent: Sequence[tuple[Row, UUID]], impossible: Sequence[tuple[Row, str]]) -> None:
        """Record which rows of a replay had their turn."""
        ids = [row.id for row, _ in (*sent, *impossible)]
        await SQL.end_turn(
            self.connection,
            replay_id=self.replay_id,
            ids=[*ids, *self.skipped],
            skipped=self.skipped,
            now=self.now,
        )

    async def bury(self, impossible: Sequence[tuple[Row, str]], archive: Archive) -> None:
        """Give up on rows that can never be sent. Their letters are archived before this commits."""
        letters = []
        for row, reason in impossible:
            await SQL.bury_row(self.connection, id=row.id, reason=reason)
            dead = row.failure(uuid4(), self.now).model_copy(
                update={"final": True, "reason": reason, "attempts": row.attempts}
            )
            await tell(self.connection, [entry(AuditEvent.LEAD_DEAD, dead, row.lead_id, actor=ACTOR)])
            letters.append(archived(dead, row.record_key, row.payload, row.headers))
        await archive(letters)

    def _replayed(self, row: Row, event_id: UUID) -> AuditRecorded:
        cause = cause_of(row)
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
    async def claimed(self, what: Literal["due", "requested"], chunk: int) -> AsyncIterator["Claim"]:
        """Hold a chunk of rows that are to be sent now; nobody else has them meanwhile."""
        now = self._clock()
        async with transaction(self._pool) as connection:
            if what == "due":
                found = SQL.claim_due(connection, stages=STAGES, now=now, chunk=chunk)
            else:
                found = SQL.claim_requested(connection, stages=STAGES, chunk=chunk)
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

"""The adapter of the webhooks service to PostgreSQL: events, deliveries, and the state of destinations."""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.canary import canary_of
from contracts.lead_events import LeadChanged
from runtime.database.canaries import CanaryResult, count_failed_canary
from runtime.database.erasure import block_erasures
from runtime.database.lead_events import NewEvent, in_order, insert_events
from runtime.database.ledger import Ledger
from runtime.database.ledger import Outcome as LedgerOutcome
from runtime.database.postgres import Connection, Pool, autocommit, load_queries, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.kafka.handler import Record
from services.webhooks.attempts import Claim, NextState
from services.webhooks.outcome import Outcome
from services.webhooks.outcome_writer import OutcomeWriter

# No earlier delivery of the same lead to the same destination is open.
_FIRST_OF_ITS_LEAD: Final = """
    NOT EXISTS (
        SELECT FROM webhook_delivery e
        WHERE e.lead_id = c.lead_id AND e.destination = c.destination AND e.position < c.position
          AND e.state IN ('pending', 'failed', 'sending'))
"""
SQL: Any = load_queries(Path(__file__).with_name("queries.sql"), first_of_its_lead=_FIRST_OF_ITS_LEAD)
PlanChange = Callable[[LeadChanged, Mapping[str, Any], Collection[str]], list[NewEvent]]
"""Returns the events of a change, from the lead's row and the destinations that know the lead."""


class Store:
    """Writes the tables `webhook_*`. Its methods raise the errors of `runtime.failures`."""

    def __init__(
        self, pool: Pool, ledger: Ledger, lease: timedelta, rng: random.Random | None = None
    ) -> None:
        """`lease` is the time for which a claimed delivery belongs to this process."""
        self._pool = pool
        self._ledger = ledger
        self._lease = lease
        self._outcomes = OutcomeWriter(pool, rng or random.Random())  # noqa: S311 - jitter, not a secret

    async def save(
        self,
        records: Sequence[Record],
        events: Sequence[NewEvent],
        changes: Sequence[LeadChanged],
        plan: PlanChange,
        undecodable: Collection[Record],
        queue_ids: Sequence[UUID],
    ) -> bool:
        """Store the events of a batch, a delivery for each destination, and the ledger in one transaction.

        `plan` returns the events of one of the `changes`. Events that are already stored, and events of
        erased leads, are left out. `queue_ids` are the rows of the replay queue that the batch retries.
        Returns True if there may be deliveries to send.
        """
        wrong = {id(record) for record in undecodable}
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            await (SQL.wait_for_records if changes else SQL.wait_for_changes)(connection)
            entries = await self._ledger.lock(connection, records)
            ordered = in_order([*events, *await self._plan_changes(connection, changes, plan)])
            await insert_events(connection, ordered)
            for record in records:
                outcome: LedgerOutcome = "canary" if canary_of(record.headers) else "stored"
                entries.count(record, "undecodable" if id(record) in wrong else outcome)
            await resolve_replays(connection, "webhooks", queue_ids)
            await self._ledger.save(connection, entries)
        return bool(ordered)

    async def _plan_changes(
        self, connection: Connection, changes: Sequence[LeadChanged], plan: PlanChange
    ) -> list[NewEvent]:
        """Return the events of these changes, for the leads as they are now. An erased lead has no events."""
        if not changes:
            return []
        ids = list({change.lead_id for change in changes})
        rows = {row["id"]: row async for row in SQL.read_leads(connection, ids=ids)}
        return [
            event
            for change in changes
            if (row := rows.get(change.lead_id))
            for event in plan(change, row, row["destinations"])
        ]

    async def count_canary(self, record: Record, result: CanaryResult) -> None:
        """Count a canary that could not be handled, and write why."""
        await count_failed_canary(self._pool, self._ledger, record, result)

    async def count_failure(self, record: Record) -> None:
        """Count one record as `parked` in the ledger, after its failure was published."""
        await self._ledger.count_failure(self._pool, record)

    async def add_destinations(self, names: Collection[str]) -> None:
        """Insert a row with the initial state for each destination that has no row yet."""
        async with transaction(self._pool) as connection:
            await SQL.add_destinations(connection, names=sorted(names))

    async def end_pauses(self, names: Collection[str]) -> None:
        """Let these destinations be tried at once. A disabled destination stays disabled."""
        async with transaction(self._pool) as connection:
            await SQL.end_pauses(connection, names=sorted(names))

    async def due_destinations(self, names: Collection[str]) -> list[str]:
        """Return the destinations among `names` that have a delivery to send now."""
        async with autocommit(self._pool) as connection:
            due: list[str] = await SQL.list_due_destinations(connection, names=sorted(names))
            return due

    async def claim(self, name: str, concurrency: int, gap: timedelta) -> list[Claim]:
        """Claim due deliveries of a destination. All processes together send at most `concurrency` at once.

        `gap` is the minimum time between two requests. If it is not zero, at most one delivery is claimed.
        Nothing is claimed during a pause of the destination. After the pause, one delivery is claimed as a
        probe.
        """
        deadline = time.monotonic() + self._lease.total_seconds()
        async with transaction(self._pool) as connection:
            state = await SQL.lock_destination(connection, name=name)
            if state is None or state["disabled_at"] or not (state["may_attempt"] and state["may_send"]):
                return []
            limit = concurrency - await SQL.count_sending(connection, name=name)
            if gap or state["is_probe"]:
                limit = min(limit, 1)
            if limit <= 0:
                return []
            owner = uuid4()  # of this claim: a late attempt must not record an outcome for a later claim
            rows = SQL.claim_deliveries(connection, name=name, owner=owner, lease=self._lease, limit=limit)
            claims = [_claim(name, owner, deadline, row) async for row in rows]
            if claims and (gap or state["is_probe"]):
                await SQL.pace_destination(connection, name=name, gap=gap, lease=self._lease)
            return claims

    async def record_outcome(self, claim: Claim, next_state: NextState, outcome: Outcome) -> bool:
        """Write the outcome of an attempt, for the delivery and its destination, in one transaction.

        Attempts at one destination that end at about the same time share a transaction. If another process
        has taken over the delivery, nothing is changed and False is returned. If the lead was erased
        meanwhile, the response is not stored, and the delivery is not repeated.
        """
        return await self._outcomes.record_outcome(claim, next_state, outcome)


def _claim(name: str, owner: UUID, deadline: float, row: Mapping[str, Any]) -> Claim:
    names = ("event_id", "lead_id", "type", "body", "retries", "is_interrupted", "traceparent", "claimed_at")
    return Claim(destination=name, owner=owner, deadline=deadline, **{each: row[each] for each in names})

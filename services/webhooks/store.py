"""The adapter of the webhooks service to PostgreSQL: events, deliveries, and the state of destinations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from pydantic_core import to_json

from contracts.audit import AuditEvent
from contracts.lead_events import EventType
from contracts.reasons import Reason
from runtime.database.audit_log import append_action
from runtime.database.erasure import block_erasures
from runtime.database.ledger import Ledger
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.kafka.handler import Record

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))
ACTOR: Final = "webhooks"


@dataclass(frozen=True)
class NewEvent:
    """An event to deliver to `destinations`. `body` is the JSON text that they receive."""

    id: UUID
    type: EventType
    lead_id: UUID
    site: str
    occurred_at: datetime
    body: str
    destinations: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """A delivery that this process sends now. `retries` are those used up before this attempt."""

    destination: str
    event_id: UUID
    lead_id: UUID
    type: str
    body: str
    retries: int
    created_at: datetime


@dataclass(frozen=True)
class Settlement:
    """The state of a delivery after an attempt. `wait` is the time until the next attempt, or None."""

    state: str
    status_code: int | None
    reason: str | None
    response: str | None
    retries: int
    wait: timedelta | None = None


class Store:
    """Writes the tables `webhook_*`. Its methods raise the errors of `runtime.failures`."""

    def __init__(self, pool: Pool, ledger: Ledger, lease: timedelta) -> None:
        """`lease` is the time for which a claimed delivery belongs to this process."""
        self._pool = pool
        self._ledger = ledger
        self._lease = lease
        self._owner = uuid4()

    async def save(
        self,
        records: Sequence[Record],
        events: Sequence[NewEvent],
        undecodable: Collection[Record],
        queue_ids: Sequence[UUID],
    ) -> None:
        """Store the events of a batch, a delivery for each destination, and the ledger in one transaction.

        Events that exist already, and those of erased leads, are left out. `queue_ids` are the rows of the
        replay queue that sent records of this batch.
        """
        wrong = {id(record) for record in undecodable}
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            entries = await self._ledger.lock(connection, records)
            if events:
                await self._insert(connection, events)
            for record in records:
                entries.count(record, "undecodable" if id(record) in wrong else "stored")
            await resolve_replays(connection, "webhooks", queue_ids)
            await self._ledger.save(connection, entries)

    async def _insert(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        rows = [
            {
                "id": event.id,
                "type": event.type,
                "lead_id": event.lead_id,
                "site": event.site,
                "occurred_at": event.occurred_at,
                "body": event.body,
                "wanted": len(event.destinations),
            }
            for event in events
        ]
        new = {row["id"] async for row in SQL.insert_events(connection, events=to_json(rows).decode())}
        pairs = [(event.id, name) for event in events if event.id in new for name in event.destinations]
        await SQL.insert_deliveries(
            connection, event_ids=[each for each, _ in pairs], destinations=[name for _, name in pairs]
        )

    async def count_parked(self, record: Record) -> None:
        """Count one record as `parked` in the ledger, after its failure was published."""
        async with transaction(self._pool) as connection:
            entries = await self._ledger.lock(connection, [record])
            entries.count(record, "parked")
            await self._ledger.save(connection, entries)

    async def add_destinations(self, names: Collection[str]) -> None:
        """Insert the state of destinations that have none yet."""
        async with transaction(self._pool) as connection:
            await SQL.add_destinations(connection, names=sorted(names))

    async def due_destinations(self, names: Collection[str]) -> list[str]:
        """Return those of the destinations for which something may be sent now."""
        async with transaction(self._pool) as connection:
            rows = SQL.list_due_destinations(connection, names=sorted(names))
            return [row["name"] async for row in rows]

    async def claim(self, name: str, concurrency: int, gap: timedelta) -> list[Claim]:
        """Claim due deliveries of a destination. All processes together send at most `concurrency` at once.

        `gap` is the least time between two requests; with one, a single delivery is claimed. While the
        destination is paused, nothing is claimed; after the pause, one probe.
        """
        async with transaction(self._pool) as connection:
            state = await SQL.lock_destination(connection, name=name)
            if state is None or state["disabled_at"] or not (state["is_open"] and state["may_send"]):
                return []
            limit = concurrency - state["sending"]
            if gap or state["is_probe"]:
                limit = min(limit, 1)
            if limit <= 0:
                return []
            rows = SQL.claim_deliveries(
                connection, name=name, owner=self._owner, lease=self._lease, limit=limit
            )
            claims = [_claim(name, row) async for row in rows]
            if claims and (gap or state["is_probe"]):
                await SQL.pace_destination(connection, name=name, gap=gap, lease=self._lease)
            return claims

    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """Write the outcome of an attempt. Return False if another process has taken over the delivery.

        If the lead was erased meanwhile, nothing of the response is stored, and the delivery is not repeated.
        """
        async with transaction(self._pool) as connection:
            erased = await SQL.lock_event(connection, event_id=claim.event_id)
            final = settlement.state in ("delivered", "suppressed")
            settled = await SQL.settle_delivery(
                connection,
                event_id=claim.event_id,
                destination=claim.destination,
                owner=self._owner,
                state="suppressed" if erased and not final else settlement.state,
                status_code=settlement.status_code,
                reason=Reason.ERASED if erased and not final else settlement.reason,
                response=None if erased else settlement.response,
                retries=settlement.retries,
                wait=None if erased or final else settlement.wait,
            )
            if settled and settlement.state == "dead" and not erased:
                details = {"destination": claim.destination, "event": claim.type, "reason": settlement.reason}
                await append_action(connection, AuditEvent.DELIVERY_DEAD, ACTOR, details, claim.lead_id)
            return settled is not None

    async def note_success(self, name: str) -> None:
        """End a destination's pause."""
        async with transaction(self._pool) as connection:
            await SQL.note_success(connection, name=name)

    async def note_failure(self, name: str, reason: str) -> int:
        """Count a failure of a destination. Return how many there are in a row."""
        async with transaction(self._pool) as connection:
            failures: int = await SQL.note_failure(connection, name=name, reason=reason)
            return failures

    async def pause(self, name: str, wait: timedelta, reason: str) -> None:
        """Pause a destination for `wait` at least."""
        async with transaction(self._pool) as connection:
            await SQL.pause_destination(connection, name=name, wait=wait, reason=reason)

    async def disable(self, name: str, reason: str) -> None:
        """Disable a destination until an admin enables it. Its deliveries wait."""
        async with transaction(self._pool) as connection:
            if await SQL.disable_destination(connection, name=name, reason=reason):
                details = {"destination": name, "reason": reason}
                await append_action(connection, AuditEvent.DESTINATION_DISABLED, ACTOR, details)


def _claim(name: str, row: Mapping[str, Any]) -> Claim:
    return Claim(
        name, row["event_id"], row["lead_id"], row["type"], row["body"], row["retries"], row["created_at"]
    )

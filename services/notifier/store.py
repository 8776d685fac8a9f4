"""The notifier's one adapter to PostgreSQL: deliveries, their audit entries and the books."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.audit import AuditEvent
from runtime.delivery import Record
from runtime.failures import WorldAway
from runtime.ledger import Ledger, Pages
from runtime.postgres import Connection, Pool, load_queries, transaction
from services.notifier import plan
from services.notifier.message import Identity, message_id
from services.notifier.plan import Arrangement, Delivery, Key, Reading, Row
from services.notifier.verdict import Outcome, Verdict

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))

_EVENTS: Final = {
    Verdict.SENT: AuditEvent.EMAIL_SENT,
    Verdict.WAITING: AuditEvent.EMAIL_FAILED,
    Verdict.DEAD: AuditEvent.EMAIL_FAILED,
    Verdict.UNKNOWN: AuditEvent.EMAIL_UNKNOWN,
    Verdict.SUPPRESSED: AuditEvent.EMAIL_SUPPRESSED,
}


class Store:
    """Writes `email_delivery`. Raises `FailedNow` and `WorldAway`. `owner` names this process."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        owner: UUID,
        identity: Identity,
        *,
        lease_seconds: float,
        limit: int,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._limit = limit
        self._identity = identity

    async def reserve(
        self, reading: Reading, records: Sequence[Record], in_hand: Collection[Key]
    ) -> Arrangement:
        """Make or take over the deliveries of a batch, and count it, in one transaction."""
        undecodable = set(map(id, reading.undecodable))
        async with transaction(self._pool) as connection:
            await SQL.keep_erasures_out(connection)
            pages = await self._ledger.lock(connection, records)
            arranged = await self._arrange(connection, reading, in_hand)
            await self._insert(connection, arranged.new)
            taken = arranged.taken + arranged.given_up
            await SQL.take_rows(
                connection,
                owner=self._owner,
                lease_seconds=self._lease_seconds,
                **_keys(taken),
                recipients=[self._recipient(delivery) for delivery in taken],
            )
            for delivery, reason in arranged.barred:
                await self._suppress(connection, delivery, reason)
            for delivery in arranged.resolved:
                await self._resolve(connection, delivery)
            for record in records:
                if id(record) in undecodable:
                    pages.count(record, "undecodable")
                else:
                    pages.count(record, "stored" if id(record) in arranged.first else "duplicate")
            await self._ledger.save(connection, pages)
        return arranged

    async def _arrange(
        self, connection: Connection, reading: Reading, in_hand: Collection[Key]
    ) -> Arrangement:
        ids = list(reading.by_lead())
        rows = {
            (row["lead_id"], row["kind"]): Row(
                row["state"], row["owner"], row["lease_seconds"], row["settled_by"]
            )
            async for row in SQL.lock_rows(connection, lead_ids=ids)
        }
        statuses = {row["id"]: row["status"] async for row in SQL.statuses(connection, lead_ids=ids)}
        addresses = sorted({_storable(lead.email.lower()) for _, lead in reading.leads})
        async for _ in SQL.lock_addresses(connection, addresses=addresses):
            pass  # a query that returns rows runs as they are read
        welcomes = dict[str, set[UUID]]()
        async for row in SQL.recent_welcomes(connection, addresses=addresses):
            welcomes.setdefault(row["recipient"], set()).add(row["lead_id"])
        return plan.arrange(
            reading, rows, statuses, welcomes, limit=self._limit, owner=self._owner, in_hand=in_hand
        )

    async def _insert(self, connection: Connection, new: Sequence[tuple[Delivery, str | None]]) -> None:
        made = [
            row
            async for row in SQL.insert_rows(
                connection,
                owner=self._owner,
                lease_seconds=self._lease_seconds,
                **_keys([delivery for delivery, _ in new]),
                recipients=[self._recipient(delivery) for delivery, _ in new],
                message_ids=[message_id(each.lead, each.kind, self._identity.from_email) for each, _ in new],
                reasons=[reason for _, reason in new],
                record_ids=[delivery.record_id for delivery, _ in new],
            )
        ]
        if len(made) < len(new):
            # Between our look and our insert another process made them: look again.
            raise WorldAway("lease", "another process took a lead at the same moment")
        for delivery, reason in new:
            if reason:
                await self._audit(connection, delivery, Outcome(Verdict.SUPPRESSED, reason), 0)

    async def _suppress(self, connection: Connection, delivery: Delivery, reason: str) -> None:
        attempts = await SQL.suppress_row(
            connection,
            lead_id=delivery.lead.lead_id,
            kind=delivery.kind,
            reason=reason,
            record_id=delivery.record_id,
        )
        await self._audit(connection, delivery, Outcome(Verdict.SUPPRESSED, reason), attempts)
        await self._resolve(connection, delivery)

    async def begin_sending(self, delivery: Delivery) -> None:
        """Commit that from here on the mail may be out. Raises `WorldAway` where it is not ours any more."""
        async with transaction(self._pool) as connection:
            begun = await SQL.begin_sending(
                connection,
                lead_id=delivery.lead.lead_id,
                kind=delivery.kind,
                owner=self._owner,
                lease_seconds=self._lease_seconds,
            )
        if not begun:
            raise WorldAway("lease", "the delivery is not ours any more")

    async def release(self, deliveries: Collection[tuple[Delivery, bool]]) -> None:
        """Give back mails that were certainly not sent; the flag says that a try has ended."""
        if deliveries:
            async with transaction(self._pool) as connection:
                await SQL.release_rows(
                    connection,
                    owner=self._owner,
                    **_keys([delivery for delivery, _ in deliveries]),
                    tried=[tried for _, tried in deliveries],
                )

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Write an outcome with its audit entry; False where the delivery is not ours any more."""
        async with transaction(self._pool) as connection:
            attempts = await SQL.settle(
                connection,
                lead_id=delivery.lead.lead_id,
                kind=delivery.kind,
                owner=self._owner,
                state=str(outcome.verdict),
                reason=outcome.reason,
                attempts=0 if outcome.phase is None else 1,
                answer=_storable(outcome.answer or "") or None,
                record_id=delivery.record_id,
            )
            if attempts is None:
                return False
            await self._audit(connection, delivery, outcome, attempts)
            if outcome.verdict is Verdict.SENT:
                await self._resolve(connection, delivery)
        return True

    async def states(self, lead_id: UUID) -> dict[Any, str]:
        """Return the state of each of a lead's mails."""
        async with transaction(self._pool) as connection:
            return {row["kind"]: row["state"] async for row in SQL.lock_rows(connection, lead_ids=[lead_id])}

    async def count_parked(self, record: Record) -> None:
        """Put one record that was handed to the replay queue into the books."""
        async with transaction(self._pool) as connection:
            pages: Pages = await self._ledger.lock(connection, [record])
            pages.count(record, "parked")
            await self._ledger.save(connection, pages)

    def _recipient(self, delivery: Delivery) -> str:
        # In lower case: the limit must not be passed by spelling an address in another way.
        if delivery.kind == "welcome":
            return _storable(delivery.lead.email.lower())
        return ", ".join(self._identity.admins)

    async def _resolve(self, connection: Connection, delivery: Delivery) -> None:
        await SQL.resolve_replay(
            connection, queue_id=delivery.queue_id, lead_id=delivery.lead.lead_id, kind=delivery.kind
        )

    async def _audit(
        self, connection: Connection, delivery: Delivery, outcome: Outcome, attempt: int
    ) -> None:
        event = _EVENTS[outcome.verdict]
        await SQL.insert_entry(
            connection,
            event_id=uuid5(delivery.record_id, event),
            event=event.value,
            status_code=outcome.code,
            details={
                "kind": delivery.kind,
                "reason": outcome.reason,
                "code": outcome.code,
                "enhanced": outcome.enhanced,
                "attempt": attempt,
            },
            lead_id=delivery.lead.lead_id,
            request_id=_storable(delivery.lead.request_id),
        )


def _storable(text: str) -> str:
    # NUL and lone surrogates, which text cannot hold: only somebody else's producer sends them.
    return text.replace("\x00", "").encode(errors="replace").decode()


def _keys(deliveries: Sequence[Delivery]) -> dict[str, list[Any]]:
    return {
        "lead_ids": [each.lead.lead_id for each in deliveries],
        "kinds": [each.kind for each in deliveries],
    }

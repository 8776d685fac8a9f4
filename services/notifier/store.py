"""The notifier's one adapter to PostgreSQL: deliveries, their audit entries and the books."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.audit import AuditEvent
from runtime.failures import WorldAway
from runtime.ledger import Ledger, Pages
from runtime.postgres import Connection, Pool, load_queries, transaction
from services.notifier import plan
from services.notifier.message import Identity, message_id
from services.notifier.plan import Delivery, Key, Reading, Record, Row, Step
from services.notifier.verdict import Outcome, Verdict

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))

_EVENTS: Final = {
    Verdict.SENT: AuditEvent.EMAIL_SENT,
    Verdict.WAITING: AuditEvent.EMAIL_FAILED,
    Verdict.DEAD: AuditEvent.EMAIL_FAILED,
    Verdict.UNKNOWN: AuditEvent.EMAIL_UNKNOWN,
}


@dataclass
class Reserved:
    """What a batch leaves to do: mails to send, mails in hand, mails lost in a crash, a wait for others."""

    send: list[Delivery] = field(default_factory=list)
    resume: list[Delivery] = field(default_factory=list)
    give_up: list[Delivery] = field(default_factory=list)
    suppressed: list[Delivery] = field(default_factory=list)
    wait_seconds: float | None = None


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
    ) -> Reserved:
        """Make or take over the deliveries of a batch, and count it, in one transaction."""
        work, first = Reserved(), set[int]()
        undecodable = set(map(id, reading.undecodable))
        async with transaction(self._pool) as connection:
            pages = await self._ledger.lock(connection, records)
            if reading.leads:
                first = await self._reserve(connection, reading, in_hand, work)
            for record in records:
                if id(record) in undecodable:
                    pages.count(record, "undecodable")
                else:
                    pages.count(record, "stored" if id(record) in first else "duplicate")
            await self._ledger.save(connection, pages)
        return work

    async def _reserve(
        self, connection: Connection, reading: Reading, in_hand: Collection[Key], work: Reserved
    ) -> set[int]:
        ids = list(reading.by_lead())
        rows = {
            (row["lead_id"], row["kind"]): Row(
                row["state"], row["owner"], row["lease_seconds"], row["settled_by"]
            )
            async for row in SQL.lock_rows(connection, lead_ids=ids)
        }
        statuses = {row["id"]: row["status"] async for row in SQL.statuses(connection, lead_ids=ids)}
        arranged = plan.arrange(
            reading,
            rows,
            statuses,
            await self._welcomes(connection, reading),
            limit=self._limit,
            owner=self._owner,
            in_hand=in_hand,
        )
        await self._insert(connection, arranged.new, work)
        for delivery, row, step, reason in arranged.known:
            await self._take_step(connection, delivery, row, step, reason, work)
        taken = [each.key for each in work.send + work.give_up if each.key in rows]
        if taken:
            await SQL.take_rows(
                connection, owner=self._owner, lease_seconds=self._lease_seconds, **_keys(taken)
            )
        return arranged.first

    async def _welcomes(self, connection: Connection, reading: Reading) -> dict[str, set[UUID]]:
        addresses = sorted({_storable(lead.email.lower()) for _, lead in reading.leads})
        async for _ in SQL.lock_addresses(connection, addresses=addresses):
            pass  # a query that returns rows runs as they are read
        found = dict[str, set[UUID]]()
        async for row in SQL.recent_welcomes(connection, addresses=addresses):
            found.setdefault(row["recipient"], set()).add(row["lead_id"])
        return found

    async def _insert(
        self, connection: Connection, new: list[tuple[Delivery, str | None]], work: Reserved
    ) -> None:
        if not new:
            return
        inserted = [
            row
            async for row in SQL.insert_rows(
                connection,
                owner=self._owner,
                lease_seconds=self._lease_seconds,
                **_keys([delivery.key for delivery, _ in new]),
                recipients=[self._recipient(delivery) for delivery, _ in new],
                message_ids=[message_id(each.lead, each.kind, self._identity.from_email) for each, _ in new],
                reasons=[reason for _, reason in new],
                record_ids=[delivery.record_id for delivery, _ in new],
            )
        ]
        if len(inserted) < len(new):
            # Between our look and our insert another process made them: look again.
            raise WorldAway("lease", "another process took a lead at the same moment")
        for delivery, reason in new:
            if reason is None:
                work.send.append(delivery)
            else:
                work.suppressed.append(delivery)
                await self._audit(connection, delivery, AuditEvent.EMAIL_SUPPRESSED, None, 0, reason)

    async def _take_step(
        self,
        connection: Connection,
        delivery: Delivery,
        row: Row,
        step: Step,
        reason: str | None,
        work: Reserved,
    ) -> None:
        if step is Step.TAKE:
            work.send.append(delivery)
        elif step is Step.RESUME:
            work.resume.append(delivery)
        elif step is Step.GIVE_UP:
            work.give_up.append(delivery)
        elif step is Step.WAIT:
            work.wait_seconds = max(work.wait_seconds or 0, row.lease_seconds)
        elif step is Step.RESOLVE:
            await self._resolve(connection, delivery)
        elif step is Step.SUPPRESS:
            work.suppressed.append(delivery)
            attempts = await SQL.suppress_row(
                connection,
                lead_id=delivery.lead.lead_id,
                kind=delivery.kind,
                reason=reason,
                record_id=delivery.record_id,
            )
            await self._audit(connection, delivery, AuditEvent.EMAIL_SUPPRESSED, None, attempts, reason or "")
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

    async def release(self, deliveries: Collection[Delivery]) -> None:
        """Give back mails that were certainly not sent."""
        if deliveries:
            async with transaction(self._pool) as connection:
                await SQL.release_rows(
                    connection, owner=self._owner, **_keys([each.key for each in deliveries])
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
            event = _EVENTS[outcome.verdict]
            await self._audit(connection, delivery, event, outcome, attempts, outcome.reason)
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
        self,
        connection: Connection,
        delivery: Delivery,
        event: AuditEvent,
        outcome: Outcome | None,
        attempt: int,
        reason: str,
    ) -> None:
        await SQL.insert_entry(
            connection,
            event_id=uuid5(delivery.record_id, event),
            event=event.value,
            status_code=outcome.code if outcome else None,
            details={
                "kind": delivery.kind,
                "reason": reason,
                "code": outcome.code if outcome else None,
                "enhanced": outcome.enhanced if outcome else None,
                "attempt": attempt,
            },
            lead_id=delivery.lead.lead_id,
            request_id=_storable(delivery.lead.request_id),
        )


def _storable(text: str) -> str:
    # NUL and lone surrogates, which text cannot hold: only somebody else's producer sends them.
    return text.replace("\x00", "").encode(errors="replace").decode()


def _keys(keys: Sequence[Key]) -> dict[str, list[Any]]:
    return {"lead_ids": [lead_id for lead_id, _ in keys], "kinds": [kind for _, kind in keys]}

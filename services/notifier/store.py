"""The notifier's one adapter to PostgreSQL: deliveries, their audit entries and the books."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.audit import AuditEvent
from contracts.leads import LeadReceived
from runtime.database.ledger import Ledger, LedgerEntries
from runtime.database.postgres import Connection, Pool, autocommit, load_queries, transaction
from runtime.failures import DependencyUnavailable
from runtime.kafka.batch_processor import Record
from services.notifier import batch_plan
from services.notifier.batch_plan import Arrangement, Delivery, Key, Reading, Row
from services.notifier.group_commit import Together
from services.notifier.mail.message import Identity, message_id
from services.notifier.smtp.outcome import Outcome, Verdict
from services.notifier.welcome_limits import WelcomeCounts, mailbox_key, site_hour

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))

_EVENTS: Final = {
    Verdict.SENT: AuditEvent.EMAIL_SENT,
    Verdict.WAITING: AuditEvent.EMAIL_FAILED,
    Verdict.DEAD: AuditEvent.EMAIL_FAILED,
    Verdict.UNKNOWN: AuditEvent.EMAIL_UNKNOWN,
    Verdict.SUPPRESSED: AuditEvent.EMAIL_SUPPRESSED,
}

# What becomes of a mail: its outcome, or None where it is about to be sent.
Move = tuple[Delivery, Outcome | None]


class Store:
    """Writes `email_delivery`. Raises `RetryableError`, `DependencyUnavailable`. `owner` is this process."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        owner: UUID,
        identity: Identity,
        *,
        lease_seconds: float,
        limit: int,
        site_limit: int,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._limit, self._site_limit = limit, site_limit
        self._identity = identity
        # A commit waits for the disk: mails that begin and mails that end share one.
        self._move = Together(self._move_all)

    async def reserve(
        self, reading: Reading, records: Sequence[Record], in_hand: Collection[Key]
    ) -> Arrangement:
        """Make or take over the deliveries of a batch, and count it, in one transaction."""
        undecodable = set(map(id, reading.undecodable))
        async with transaction(self._pool) as connection:
            await SQL.keep_erasures_out(connection)
            ledger_entries = await self._ledger.lock(connection, records)
            arranged = await self._arrange(connection, reading, in_hand)
            await self._insert(connection, arranged.new)
            if taken := arranged.taken + arranged.given_up:
                await SQL.take_rows(
                    connection,
                    owner=self._owner,
                    lease_seconds=self._lease_seconds,
                    **_keys(taken),
                    recipients=[self._recipient(delivery) for delivery in taken],
                    mailboxes=[mailbox_of(delivery) for delivery in taken],
                )
            for delivery, reason in arranged.barred:
                await self._suppress(connection, delivery, reason)
            await _resolve(connection, arranged.resolved)
            for record in records:
                if id(record) in undecodable:
                    ledger_entries.count(record, "undecodable")
                else:
                    ledger_entries.count(record, "stored" if id(record) in arranged.first else "duplicate")
            await self._ledger.save(connection, ledger_entries)
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
        counts = await self._count_welcomes(connection, [lead for _, lead in reading.leads])
        return batch_plan.arrange(reading, rows, statuses, counts, owner=self._owner, in_hand=in_hand)

    async def _count_welcomes(self, connection: Connection, leads: Sequence[LeadReceived]) -> WelcomeCounts:
        """Count the welcomes to these leads' mailboxes and of their sites.

        Of a mailbox one process counts at a time; of a site several may, and exceed its limit by a batch.
        """
        counts = WelcomeCounts(self._limit, self._site_limit)
        mailboxes = sorted({storable(mailbox_key(lead.email)) for lead in leads})
        async for _ in SQL.lock_mailboxes(connection, mailboxes=mailboxes):
            pass  # a query that returns rows runs as they are read
        async for row in SQL.recent_welcomes(connection, mailboxes=mailboxes):
            counts.mailboxes.setdefault(row["mailbox"], set()).add(row["lead_id"])
        places = {site_hour(lead) for lead in leads}
        sites, hours = [storable(site) for site, _ in places], [hour for _, hour in places]
        async for row in SQL.welcomes_of_sites(connection, sites=sites, hours=hours):
            counts.sites[row["site"], row["hour"]] = row["welcomes"]
        return counts

    async def _insert(self, connection: Connection, new: Sequence[tuple[Delivery, str | None]]) -> None:
        if not new:
            return
        made = [
            row
            async for row in SQL.insert_rows(
                connection,
                owner=self._owner,
                lease_seconds=self._lease_seconds,
                **_keys([delivery for delivery, _ in new]),
                recipients=[self._recipient(delivery) for delivery, _ in new],
                mailboxes=[mailbox_of(delivery) for delivery, _ in new],
                sites=[storable(delivery.lead.site) for delivery, _ in new],
                received_ats=[delivery.lead.occurred_at for delivery, _ in new],
                message_ids=[message_id(each.lead, each.kind, self._identity.from_email) for each, _ in new],
                reasons=[reason for _, reason in new],
                record_ids=[delivery.record_id for delivery, _ in new],
            )
        ]
        if len(made) < len(new):
            # Between our look and our insert another process made them: look again.
            raise DependencyUnavailable("lease", "another process took a lead at the same moment")
        barred = [(each, Outcome(Verdict.SUPPRESSED, reason), 0) for each, reason in new if reason]
        await _audit(connection, barred)

    async def _suppress(self, connection: Connection, delivery: Delivery, reason: str) -> None:
        attempts = await SQL.suppress_row(
            connection,
            lead_id=delivery.lead.lead_id,
            kind=delivery.kind,
            reason=reason,
            record_id=delivery.record_id,
        )
        await _audit(connection, [(delivery, Outcome(Verdict.SUPPRESSED, reason), attempts)])
        await _resolve(connection, [delivery])

    async def begin_sending(self, delivery: Delivery) -> None:
        """Commit that sending begins. Raises `DependencyUnavailable` if the lease is lost."""
        if not await self._move((delivery, None)):
            raise DependencyUnavailable("lease", "the delivery is not ours any more")

    async def release(self, deliveries: Collection[tuple[Delivery, bool]]) -> None:
        """Give back mails that were certainly not sent; the flag says that a try has ended."""
        if deliveries:
            # Of who gave up waiting the commit may still be on its way: it must not come after this one.
            await self._move.idle()
            async with autocommit(self._pool) as connection:
                await SQL.release_rows(
                    connection,
                    owner=self._owner,
                    **_keys([delivery for delivery, _ in deliveries]),
                    tried=[tried for _, tried in deliveries],
                )

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Write an outcome with its audit entry; False where the delivery is not ours any more."""
        return await self._move((delivery, outcome))

    async def _move_all(self, moves: list[Move]) -> list[bool]:
        deliveries, outcomes = [delivery for delivery, _ in moves], [outcome for _, outcome in moves]
        states = [str(outcome.verdict) if outcome else "sending" for outcome in outcomes]
        async with autocommit(self._pool) as connection:
            moved = {
                (row["lead_id"], row["kind"], row["state"])
                async for row in SQL.move_mails(
                    connection,
                    owner=self._owner,
                    lease_seconds=self._lease_seconds,
                    **_keys(deliveries),
                    states=states,
                    record_ids=[delivery.record_id for delivery in deliveries],
                    request_ids=[storable(delivery.lead.request_id) for delivery in deliveries],
                    queue_ids=[delivery.queue_id for delivery in deliveries],
                    reasons=[outcome and outcome.reason for outcome in outcomes],
                    codes=[outcome and outcome.code for outcome in outcomes],
                    enhanced=[outcome and outcome.enhanced for outcome in outcomes],
                    answers=[outcome and (storable(outcome.answer or "") or None) for outcome in outcomes],
                    tries=[int(outcome is not None and outcome.phase is not None) for outcome in outcomes],
                    events=[outcome and _EVENTS[outcome.verdict] for outcome in outcomes],
                    event_ids=[outcome and _event_id(delivery, outcome) for delivery, outcome in moves],
                )
            }
        return [(*each.key, state) in moved for each, state in zip(deliveries, states, strict=True)]

    async def states(self, lead_id: UUID) -> dict[Any, str]:
        """Return the state of each of a lead's mails."""
        async with transaction(self._pool) as connection:
            return {row["kind"]: row["state"] async for row in SQL.lock_rows(connection, lead_ids=[lead_id])}

    async def count_parked(self, record: Record) -> None:
        """Put one record that was handed to the replay queue into the books."""
        async with transaction(self._pool) as connection:
            ledger_entries: LedgerEntries = await self._ledger.lock(connection, [record])
            ledger_entries.count(record, "parked")
            await self._ledger.save(connection, ledger_entries)

    def _recipient(self, delivery: Delivery) -> str:
        # In lower case: people are looked up by it.
        if delivery.kind == "welcome":
            return storable(delivery.lead.email.lower())
        return ", ".join(self._identity.admins)


async def _resolve(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    if deliveries:
        queue_ids = [each.queue_id for each in deliveries]
        await SQL.resolve_replays(connection, queue_ids=queue_ids, **_keys(deliveries))


async def _audit(connection: Connection, audited: Sequence[tuple[Delivery, Outcome, int]]) -> None:
    """Append an entry for each delivery, its outcome and the number of tries."""
    if not audited:
        return
    events = [_EVENTS[outcome.verdict] for _, outcome, _ in audited]
    deliveries = [delivery for delivery, _, _ in audited]
    await SQL.insert_entries(
        connection,
        event_ids=[_event_id(delivery, outcome) for delivery, outcome, _ in audited],
        events=[event.value for event in events],
        status_codes=[outcome.code for _, outcome, _ in audited],
        details=[
            {
                "kind": delivery.kind,
                "reason": outcome.reason,
                "code": outcome.code,
                "enhanced": outcome.enhanced,
                "attempt": attempt,
            }
            for delivery, outcome, attempt in audited
        ],
        lead_ids=[each.lead.lead_id for each in deliveries],
        request_ids=[storable(each.lead.request_id) for each in deliveries],
    )


def _event_id(delivery: Delivery, outcome: Outcome) -> UUID:
    return uuid5(delivery.record_id, _EVENTS[outcome.verdict])


def mailbox_of(delivery: Delivery) -> str | None:
    """Return the mailbox that a welcome counts for."""
    return storable(mailbox_key(delivery.lead.email)) if delivery.kind == "welcome" else None


def storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot hold: NUL and lone surrogates."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def _keys(deliveries: Sequence[Delivery]) -> dict[str, list[Any]]:
    return {
        "lead_ids": [each.lead.lead_id for each in deliveries],
        "kinds": [each.kind for each in deliveries],
    }

"""The notifier's adapter to PostgreSQL: deliveries, their audit entries and the ledger."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from contracts.audit import AuditRecorded
from contracts.failures import Kind
from runtime.database.audit_log import append_entries
from runtime.database.canaries import CanaryResult, count_failed_canary
from runtime.database.erasure import block_erasures
from runtime.database.group_commit import GroupCommit
from runtime.database.ledger import Ledger
from runtime.database.postgres import Connection, Pool, autocommit, load_queries, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.database.suppressed_addresses import SuppressedAddresses
from runtime.failures import DependencyUnavailable
from runtime.kafka.handler import Record
from services.notifier.alert_collection import AlertCollection
from services.notifier.batch_data import count_alerts, count_welcomes, load_deliveries, load_statuses
from services.notifier.batch_plan import BatchPlan, plan_batch
from services.notifier.collected_alerts import add_collected_alerts
from services.notifier.deliveries import STAGE, DecodedBatch, Delivery, Key
from services.notifier.delivery_values import AUDIT_EVENTS, key_columns, mailbox_of, recipient_of, storable
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import message_id
from services.notifier.smtp.outcome import MailOutcome, MailStatus
from services.notifier.welcome_limits import WelcomeCounts

_SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))

# The next state of a delivery: its outcome, or None for `sending`.
Transition = tuple[Delivery, MailOutcome | None]


class Store:
    """Writes `email_delivery`. `owner` is the id under which this process reserves mails.

    `new_collection` returns the rules for the alerts that a digest lists. Without it no digest lists any.

    All methods raise `RetryableError` and `DependencyUnavailable`.
    """

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        owner: UUID,
        identities: Identities,
        *,
        lease_seconds: float,
        welcomes_per_day: int,
        welcomes_per_site_and_hour: int,
        new_collection: Callable[[], AlertCollection] | None = None,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._welcomes_per_day = welcomes_per_day
        self._welcomes_per_site_and_hour = welcomes_per_site_and_hour
        self._new_collection = new_collection
        self._identities = identities
        self._suppressed = SuppressedAddresses()
        # Each commit waits for a disk flush, so all concurrent transitions share one commit.
        self._transition = GroupCommit(self._write_transitions)

    async def reserve(
        self, batch: DecodedBatch, records: Sequence[Record], in_progress: Collection[Key]
    ) -> BatchPlan:
        """Plan a batch, reserve its deliveries for this process and count its records, in one transaction.

        `in_progress` are the mails that this process is sending, and the mails whose outcomes it has cached.
        Raises `DependencyUnavailable` if another process inserts a delivery of the batch at the same time.
        """
        undecodable = set(map(id, batch.undecodable))
        canaries = {id(record) for record, _ in batch.canaries}
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            ledger_entries = await self._ledger.lock(connection, records)
            plan = await self._plan(connection, batch, in_progress)
            await self._insert(connection, plan)
            if plan.collected_rows:
                await _SQL.collect_rows(
                    connection,
                    lead_ids=[each.lead.lead_id for each in plan.collected_rows],
                    recipients=[recipient_of(each, self._identities) for each in plan.collected_rows],
                    record_ids=[each.record_id for each in plan.collected_rows],
                )
                await _resolve_replays(connection, plan.collected_rows)
            await add_collected_alerts(connection, plan.collected, plan.due_at)
            if taken := plan.reserved + plan.unknown:
                await _SQL.take_rows(
                    connection,
                    owner=self._owner,
                    lease_seconds=self._lease_seconds,
                    **key_columns(taken),
                    recipients=[recipient_of(delivery, self._identities) for delivery in taken],
                    mailboxes=[mailbox_of(delivery) for delivery in taken],
                    message_ids=[self._message_id_of(delivery) for delivery in taken],
                )
            for delivery, reason in plan.suppressed_rows:
                await self._suppress(connection, delivery, reason)
            await _resolve_replays(connection, plan.resolved)
            for record in records:
                if id(record) in undecodable:
                    ledger_entries.count(record, "undecodable")
                elif id(record) in canaries:
                    ledger_entries.count(record, "canary")
                else:
                    ledger_entries.count(
                        record, "stored" if id(record) in plan.first_records else "duplicate"
                    )
            await self._ledger.save(connection, ledger_entries)
        return plan

    async def _plan(
        self, connection: Connection, batch: DecodedBatch, in_progress: Collection[Key]
    ) -> BatchPlan:
        ids = list(batch.by_lead())
        rows, statuses = await load_deliveries(connection, ids), await load_statuses(connection, ids)
        counts = WelcomeCounts(self._welcomes_per_day, self._welcomes_per_site_and_hour)
        leads = [lead for _, lead in batch.leads]
        await count_welcomes(connection, leads, counts, self._suppressed)
        collection = self._new_collection() if self._new_collection else None
        if collection:
            await count_alerts(connection, leads, collection)
        return plan_batch(
            batch,
            rows,
            statuses,
            counts,
            owner=self._owner,
            in_progress=in_progress,
            collection=collection,
        )

    async def _insert(self, connection: Connection, plan: BatchPlan) -> None:
        if not (new := plan.new):
            return
        deliveries = [delivery for delivery, _ in new]
        inserted = [
            row
            async for row in _SQL.insert_rows(
                connection,
                owner=self._owner,
                lease_seconds=self._lease_seconds,
                **key_columns(deliveries),
                recipients=[recipient_of(each, self._identities) for each in deliveries],
                mailboxes=[mailbox_of(each) for each in deliveries],
                sites=[storable(each.lead.site) for each in deliveries],
                received_ats=[each.lead.occurred_at for each in deliveries],
                message_ids=[self._message_id_of(each) for each in deliveries],
                reasons=[reason for _, reason in new],
                collected=[each.key in plan.due_at for each in deliveries],
                record_ids=[each.record_id for each in deliveries],
            )
        ]
        if len(inserted) < len(new):
            # Another process inserted some of them after `lock_rows`: the retried batch sees its rows.
            raise DependencyUnavailable("lease", "another process took a lead at the same moment")
        suppressed = [(each, MailOutcome(MailStatus.SUPPRESSED, reason), 0) for each, reason in new if reason]
        await _audit(connection, suppressed)

    def _message_id_of(self, delivery: Delivery) -> str:
        lead = delivery.lead
        return message_id(lead.lead_id, delivery.kind, self._identities.of(lead.site).from_email)

    async def _suppress(self, connection: Connection, delivery: Delivery, reason: str) -> None:
        attempts = await _SQL.suppress_row(
            connection,
            lead_id=delivery.lead.lead_id,
            kind=delivery.kind,
            reason=reason,
            record_id=delivery.record_id,
        )
        await _audit(connection, [(delivery, MailOutcome(MailStatus.SUPPRESSED, reason), attempts)])
        await _resolve_replays(connection, [delivery])

    async def begin_sending(self, delivery: Delivery) -> None:
        """Commit the state `sending`. Raises `DependencyUnavailable` if this process lost the lease."""
        if not await self._transition((delivery, None)):
            raise DependencyUnavailable("lease", "another process has taken over the email")

    async def release(self, deliveries: Collection[tuple[Delivery, bool]]) -> None:
        """Release the leases of mails that were certainly not sent.

        The flag of a delivery is True if an attempt to send it has ended. If the flag is False, an attempt
        may still be running, so a row in the state `sending` is not reset.
        """
        if deliveries:
            # A cancelled caller's transition may still be running, and must not be committed after this.
            await self._transition.idle()
            async with autocommit(self._pool) as connection:
                await _SQL.release_rows(
                    connection,
                    owner=self._owner,
                    **key_columns([delivery for delivery, _ in deliveries]),
                    tried=[tried for _, tried in deliveries],
                )

    async def write_outcome(self, delivery: Delivery, outcome: MailOutcome) -> str | None:
        """Write an outcome and its audit entry. Return the new state, or None if this process lost the lease.

        The state of a mail that would wait is `suppressed` if its lead was erased, and `dead` if its last
        retry failed.
        """
        return await self._transition((delivery, outcome))

    async def _write_transitions(self, transitions: list[Transition]) -> list[str | None]:
        deliveries = [delivery for delivery, _ in transitions]
        outcomes = [outcome for _, outcome in transitions]
        states = [str(outcome.status) if outcome else "sending" for outcome in outcomes]
        async with autocommit(self._pool) as connection:
            moved = {
                (row["lead_id"], row["kind"]): row["state"]
                async for row in _SQL.move_mails(
                    connection,
                    owner=self._owner,
                    lease_seconds=self._lease_seconds,
                    **key_columns(deliveries),
                    states=states,
                    record_ids=[delivery.record_id for delivery in deliveries],
                    request_ids=[storable(delivery.lead.request_id) for delivery in deliveries],
                    queue_ids=[delivery.queue_id for delivery in deliveries],
                    reasons=[outcome and outcome.reason for outcome in outcomes],
                    codes=[outcome and outcome.code for outcome in outcomes],
                    enhanced=[outcome and outcome.enhanced for outcome in outcomes],
                    answers=[outcome and (storable(outcome.reply or "") or None) for outcome in outcomes],
                    quotes=[outcome and storable(outcome.quote or outcome.reason) for outcome in outcomes],
                    tries=[int(outcome is not None and outcome.phase is not None) for outcome in outcomes],
                    events=[outcome and AUDIT_EVENTS[outcome.status] for outcome in outcomes],
                    event_ids=[outcome and _event_id(delivery, outcome) for delivery, outcome in transitions],
                )
            }
        return [moved.get(each.key) for each in deliveries]

    async def states(self, lead_id: UUID) -> dict[Kind, str]:
        """Return the state of each mail of a lead, by kind. An alert in a digest is `collected`."""
        async with transaction(self._pool) as connection:
            rows = await load_deliveries(connection, [lead_id])
        return {kind: "collected" if row.in_digest else row.state for (_, kind), row in rows.items()}

    async def count_canary(self, record: Record, result: CanaryResult) -> None:
        """Count a canary that could not be handled, and write why."""
        await count_failed_canary(self._pool, self._ledger, record, result)

    async def count_failure(self, record: Record) -> None:
        """Count one record as `parked` in the ledger, after its failure was published."""
        await self._ledger.count_failure(self._pool, record)


async def _resolve_replays(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    queue_ids = [each.queue_id for each in deliveries]
    await resolve_replays(connection, STAGE, queue_ids, [each.key for each in deliveries])


async def _audit(connection: Connection, audited: Sequence[tuple[Delivery, MailOutcome, int]]) -> None:
    """Append an audit entry for each tuple: a delivery, its outcome and the number of tries."""
    entries = [
        AuditRecorded(
            event_id=_event_id(delivery, outcome),
            occurred_at=delivery.lead.occurred_at,
            event=AUDIT_EVENTS[outcome.status],
            actor=STAGE,
            status_code=outcome.code,
            lead_id=delivery.lead.lead_id,
            request_id=storable(delivery.lead.request_id),
            details={
                "kind": delivery.kind,
                "reason": outcome.reason,
                "code": outcome.code,
                "enhanced": outcome.enhanced,
                "attempt": attempt,
            },
        )
        for delivery, outcome, attempt in audited
    ]
    await append_entries(connection, entries, database_time=True)


def _event_id(delivery: Delivery, outcome: MailOutcome) -> UUID:
    return uuid5(delivery.record_id, AUDIT_EVENTS[outcome.status])

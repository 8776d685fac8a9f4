"""Decides what to do with each delivery (one mail of one lead) of a batch. No I/O, no clock."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from contracts.leads import LeadReceived, LeadStatus
from contracts.reasons import Reason
from runtime.kafka.handler import Record
from services.notifier.alert_collection import AlertCollection
from services.notifier.deliveries import KINDS, DecodedBatch, Delivery, DeliveryRow, Key, requested_deliveries
from services.notifier.welcome_limits import WelcomeCounts


class Action(StrEnum):
    """What to do with a delivery that already has a row in `email_delivery`."""

    SKIP = "skip"
    RESOLVE_REPLAY = "resolve_replay"  # sent before, or in a digest: only resolve its replay-queue row
    WAIT = "wait"  # another process holds the lease
    RESERVE = "reserve"  # reserve it for this process and send it
    RESUME = "resume"  # this process is already sending it
    MARK_UNKNOWN = "mark_unknown"  # the process that was sending it died, maybe after it wrote the body
    SUPPRESS = "suppress"


def suppression_reason(
    delivery: Delivery,
    status: str | None,
    welcomed: Collection[UUID],
    limit: int,
    listed: Reason | None = None,
) -> str | None:
    """Return why this mail must not be sent, or None if it may be sent.

    - `status` is the lead's stored status, or None if the lead is not stored yet. It takes precedence over
      the spam reasons in the record, because an admin may have released the lead.
    - `welcomed` are the leads whose welcomes went to the same mailbox in the last 24 hours.
    - `limit` is the maximum number of welcomes to one mailbox in 24 hours.
    - `listed` is the reason why the lead's address is on the suppression list, or None.
    """
    if status is None:
        status = delivery.lead.first_status
    if status in (LeadStatus.SPAM, LeadStatus.HELD, LeadStatus.ERASED):
        return Reason(status)
    if delivery.kind == "welcome" and not delivery.lead.email:
        return Reason.NO_ADDRESS
    if delivery.kind == "welcome" and listed:
        return listed
    if delivery.kind == "welcome" and len(set(welcomed) - {delivery.lead.lead_id}) >= limit:
        return Reason.TOO_MANY_TO_MAILBOX
    return None


def choose_action(  # noqa: PLR0911 - each action is one return
    delivery: Delivery, row: DeliveryRow, reason: str | None, owner: UUID, in_progress: Collection[Key]
) -> Action:
    """Choose the action for a delivery that already has a row.

    `reason` is the reason to suppress the delivery, or None. `owner` is the id of this process. `in_progress`
    are the mails that this process is sending, and the mails whose outcomes it has cached.
    """
    mine = row.owner == owner
    if row.state in ("reserved", "sending") and not row.in_digest:
        if mine and delivery.key in in_progress:
            return Action.RESUME
        if row.lease_seconds > 0 and not (mine and row.state == "reserved"):
            return Action.WAIT
        if _is_left_to_its_retry(delivery, row):
            return Action.SKIP
        if row.state == "sending":
            return Action.MARK_UNKNOWN
    elif not delivery.retry or delivery.has_outcome_in(row):
        return Action.SKIP
    elif row.state == "sent" or row.in_digest:  # a digest decides the outcome, also that of a retry
        return Action.RESOLVE_REPLAY
    return Action.SUPPRESS if reason else Action.RESERVE


def _is_left_to_its_retry(delivery: Delivery, row: DeliveryRow) -> bool:
    """Return True if a retry of this mail was interrupted, and `delivery` only repeats the lead's record.

    The record of the retry is not committed, so it comes again and decides. If the repetition marked the mail
    as unknown, the retry would then send it again (docs/model.md).
    """
    return not delivery.retry and row.settled_by is not None and not delivery.has_outcome_in(row)


@dataclass
class BatchPlan:
    """What to do with each delivery of a batch, and which record is the first of each new lead."""

    first_records: set[int] = field(default_factory=set)  # by identity: `id(record)`
    new: list[tuple[Delivery, str | None]] = field(default_factory=list)  # with the suppression reason
    reserved: list[Delivery] = field(default_factory=list)
    resumed: list[Delivery] = field(default_factory=list)
    unknown: list[Delivery] = field(default_factory=list)
    resolved: list[Delivery] = field(default_factory=list)
    suppressed_rows: list[tuple[Delivery, str]] = field(default_factory=list)
    collected_rows: list[Delivery] = field(default_factory=list)
    due_at: dict[Key, datetime] = field(default_factory=dict)  # of the digest that lists a collected alert
    busy: dict[tuple[str, int], int] = field(default_factory=dict)  # first busy offset by topic, partition
    wait_seconds: float = 0.0

    @property
    def to_send(self) -> list[Delivery]:
        """Return the deliveries that this plan reserves for this process to send."""
        new = [each for each, reason in self.new if reason is None and each.key not in self.due_at]
        return new + self.reserved

    @property
    def collected(self) -> list[Delivery]:
        """Return the alerts that this plan collects for a digest."""
        return [each for each, _ in self.new if each.key in self.due_at] + self.collected_rows

    @property
    def suppressed(self) -> list[tuple[Delivery, str]]:
        """Return the deliveries that this plan suppresses, each with the reason."""
        return [(delivery, reason) for delivery, reason in self.new if reason] + self.suppressed_rows

    def add(self, delivery: Delivery, row: DeliveryRow, action: Action, reason: str | None) -> None:
        """Add a delivery that already has a row to the list for `action`.

        A skipped delivery is in no list.
        """
        if action is Action.WAIT:
            record = delivery.record
            partition = (record.topic, record.partition)
            self.busy[partition] = min(record.offset, self.busy.get(partition, record.offset))
            self.wait_seconds = max(self.wait_seconds, row.lease_seconds)
        elif action is Action.SUPPRESS and reason:
            self.suppressed_rows.append((delivery, reason))
        else:
            lists = {
                Action.RESERVE: self.reserved,
                Action.RESUME: self.resumed,
                Action.MARK_UNKNOWN: self.unknown,
                Action.RESOLVE_REPLAY: self.resolved,
            }
            lists.get(action, []).append(delivery)


def plan_batch(
    batch: DecodedBatch,
    rows: Mapping[Key, DeliveryRow],
    statuses: Mapping[UUID, str],
    counts: WelcomeCounts,
    *,
    owner: UUID,
    in_progress: Collection[Key],
    collection: AlertCollection | None = None,
) -> BatchPlan:
    """Decide what to do with every delivery of a batch. Adds each new welcome to `counts`.

    `rows` are the stored rows of the batch's leads. `statuses` are the stored statuses by lead id. `owner`
    and `in_progress` are passed to `choose_action`. `collection` decides which alerts are collected for a
    digest. Without it, none is.
    """
    plan, existing = BatchPlan(), dict[Key, list[Delivery]]()
    for lead_id, requests in batch.by_lead().items():
        if not any((lead_id, kind) in rows for kind in KINDS):
            plan.first_records.add(id(requests[0][0]))
            plan.new += _plan_new_lead(*requests[0], statuses.get(lead_id), counts)
            alert, reason = plan.new[-1]
            if collection and reason is None and (due_at := collection.due_at(alert.lead)):
                plan.due_at[alert.key] = due_at
            continue
        for record, lead in requests:
            for delivery in requested_deliveries(record, lead, first=False):
                existing.setdefault(delivery.key, []).append(delivery)
    for requested in existing.values():
        # If several records request a mail, the last retry decides: only a retry can change an outcome.
        delivery = next((each for each in reversed(requested) if each.retry), requested[0])
        reason = suppression_reason(
            delivery,
            statuses.get(delivery.lead.lead_id),
            counts.of_mailbox(delivery.lead),
            counts.per_mailbox,
            counts.listed(delivery.lead),
        )
        row = rows[delivery.key]
        action = choose_action(delivery, row, reason, owner, in_progress)
        due_at = None
        if collection and action is Action.RESERVE and delivery.kind == "admin_alert":
            due_at = collection.due_at_of_retry(delivery.lead, row.state)
        if due_at:
            plan.collected_rows.append(delivery)
            plan.due_at[delivery.key] = due_at
            continue
        # If a record has to wait, all records of the mail wait. Otherwise a record without an outcome could
        # be committed, but recovered_outcomes.py requires an outcome for each committed record.
        for each in requested if action is Action.WAIT else [delivery]:
            plan.add(each, row, action, reason)
    return plan


def _plan_new_lead(
    record: Record, lead: LeadReceived, status: str | None, counts: WelcomeCounts
) -> list[tuple[Delivery, str | None]]:
    """Return both deliveries of a lead that has no rows, each with its suppression reason."""
    planned = list[tuple[Delivery, str | None]]()
    for delivery in requested_deliveries(record, lead, first=True):
        reason = suppression_reason(
            delivery, status, counts.of_mailbox(lead), counts.per_mailbox, counts.listed(lead)
        )
        if reason is None and delivery.kind == "welcome":
            # The site's limit applies to new leads only: a retry was admitted before, and only an admin
            # requests a resend.
            if counts.site_limit_reached(lead):
                reason = Reason.TOO_MANY_OF_SITE
            else:
                counts.admit(lead)
        planned.append((delivery, reason))
    return planned

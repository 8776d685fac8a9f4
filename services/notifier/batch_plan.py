"""What to do with a delivery, given its row and the record in hand. Pure: no I/O, no clock."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contracts import headers, topics
from contracts.failures import Kind, Origin, failure_event_id, first_origin, legacy_failure_event_id
from contracts.leads import LeadReceived, LeadStatus
from runtime.kafka.batch_processor import Record
from services.notifier.welcome_limits import TOO_MANY_OF_SITE, TOO_MANY_TO_MAILBOX, WelcomeCounts

Key = tuple[UUID, Kind]

KINDS: Final[tuple[Kind, ...]] = ("welcome", "admin_alert")
STAGE: Final = "notifier"


@dataclass(frozen=True)
class Delivery:
    """One mail of one lead, and the record that asks for it."""

    record: Record
    lead: LeadReceived
    kind: Kind
    retry: bool

    @property
    def key(self) -> Key:
        """Name the row in `email_delivery`."""
        return self.lead.lead_id, self.kind

    @cached_property
    def record_id(self) -> UUID:
        """Name the record in hand: the id of its failure, should it have one."""
        return failure_event_id(self.record, STAGE, self.kind)

    @cached_property
    def legacy_id(self) -> UUID:
        """Name the record in hand as earlier versions did."""
        return legacy_failure_event_id(self.record, STAGE, self.kind)

    @property
    def origin_ms(self) -> int:
        """Return the time that a failure of this record names: that of the record that first failed."""
        return first_origin(self.record.headers, Origin.of(self.record, "")).timestamp_ms

    def settled(self, row: "Row") -> bool:
        """Return True where the row's outcome is this record's, by whatever version."""
        return row.settled_by in (self.record_id, self.legacy_id)

    @property
    def queue_id(self) -> UUID | None:
        """Return the replay-queue row that sent this record for this mail."""
        if not self.retry or kind_of(self.record) != self.kind:
            return None
        try:
            return UUID(headers.text(self.record.headers, headers.QUEUE_ID) or "")
        except ValueError:
            return None


@dataclass(frozen=True)
class Row:
    """A row of `email_delivery` as the database sees it. `lease_seconds` is what is left of the lease."""

    state: str
    owner: UUID | None
    lease_seconds: float
    settled_by: UUID | None


class Step(StrEnum):
    """What is done with a delivery whose row was there before."""

    SKIP = "skip"
    RESOLVE = "resolve"  # done before: only its replay is over
    WAIT = "wait"  # another process has it in hand
    TAKE = "take"  # reserve it for us and send
    RESUME = "resume"  # we have it in hand already
    GIVE_UP = "give_up"  # its process ended after the body may have been written: unknown
    SUPPRESS = "suppress"


@dataclass
class Reading:
    """A batch, decoded. A retry asks for one kind, any other record for both."""

    leads: list[tuple[Record, LeadReceived]] = field(default_factory=list)
    undecodable: list[Record] = field(default_factory=list)

    def by_lead(self) -> dict[UUID, list[tuple[Record, LeadReceived]]]:
        """Return the records of each lead in their order, the leads in the order of their ids."""
        found = dict[UUID, list[tuple[Record, LeadReceived]]]()
        for record, lead in self.leads:
            found.setdefault(lead.lead_id, []).append((record, lead))
        return dict(sorted(found.items()))


def read(records: Sequence[Record]) -> Reading:
    """Decode every record; what cannot be decoded is the persister's to dead-letter, ours to count."""
    reading = Reading()
    for record in records:
        try:
            reading.leads.append((record, LeadReceived.model_validate_json(record.value or b"")))
        except ValidationError:
            reading.undecodable.append(record)
    return reading


def kind_of(record: Record) -> Kind | None:
    """Return the one kind that a record of our retry topic asks for."""
    if record.topic.endswith(topics.RETRY_NOTIFIER.name):
        name = headers.text(record.headers, headers.KIND)
        for kind in KINDS:
            if kind == name:
                return kind
    return None


def deliveries(record: Record, lead: LeadReceived, *, first: bool) -> list[Delivery]:
    """Return the mails that a record asks for; a lead's first record asks for both, whatever it is."""
    kind = kind_of(record)
    kinds = KINDS if first or kind is None else (kind,)
    return [Delivery(record, lead, each, kind is not None) for each in kinds]


def barred(delivery: Delivery, status: str | None, welcomes: Collection[UUID], limit: int) -> str | None:
    """Return why this mail must not be sent, if so.

    The stored status goes before the record: an admin may have found that it is no spam. `welcomes` are
    the leads of the last day whose welcome went to this mailbox.
    """
    if status is None:
        status = LeadStatus.SPAM if delivery.lead.spam_reasons else LeadStatus.RECEIVED
    if status in (LeadStatus.SPAM, LeadStatus.ERASED):
        return str(status)
    if delivery.kind == "welcome" and len(set(welcomes) - {delivery.lead.lead_id}) >= limit:
        return TOO_MANY_TO_MAILBOX
    return None


def decide(delivery: Delivery, row: Row, reason: str | None, owner: UUID, in_hand: Collection[Key]) -> Step:
    """Decide on a delivery whose row was there before. `reason` is why it is barred, if it is."""
    mine = row.owner == owner
    if row.state in ("reserved", "sending"):
        if mine and delivery.key in in_hand:
            return Step.RESUME
        if row.lease_seconds > 0 and not (mine and row.state == "reserved"):
            return Step.WAIT
        if row.state == "sending":
            return Step.GIVE_UP
    elif not delivery.retry or delivery.settled(row):
        return Step.SKIP
    elif row.state == "sent":
        return Step.RESOLVE
    return Step.SUPPRESS if reason else Step.TAKE


@dataclass
class Arrangement:
    """What a batch means: the records that are their lead's first, and what is done with each delivery."""

    first: set[int] = field(default_factory=set)  # by identity: `id(record)`
    new: list[tuple[Delivery, str | None]] = field(default_factory=list)  # with why it is barred
    taken: list[Delivery] = field(default_factory=list)
    resumed: list[Delivery] = field(default_factory=list)
    given_up: list[Delivery] = field(default_factory=list)
    resolved: list[Delivery] = field(default_factory=list)
    barred: list[tuple[Delivery, str]] = field(default_factory=list)
    waiting: dict[tuple[str, int], int] = field(default_factory=dict)  # from which offset on, by partition
    wait_seconds: float = 0.0

    @property
    def to_send(self) -> list[Delivery]:
        """Return what is reserved for us by this batch."""
        return [delivery for delivery, reason in self.new if reason is None] + self.taken

    @property
    def suppressed(self) -> list[tuple[Delivery, str]]:
        """Return what this batch must not send, and why."""
        return [(delivery, reason) for delivery, reason in self.new if reason] + self.barred

    def add(self, delivery: Delivery, row: Row, step: Step, reason: str | None) -> None:
        """Take in the decision on a delivery whose row was there before."""
        if step is Step.WAIT:
            record = delivery.record
            place = (record.topic, record.partition)
            self.waiting[place] = min(record.offset, self.waiting.get(place, record.offset))
            self.wait_seconds = max(self.wait_seconds, row.lease_seconds)
        elif step is Step.SUPPRESS and reason:
            self.barred.append((delivery, reason))
        else:
            lists = {
                Step.TAKE: self.taken,
                Step.RESUME: self.resumed,
                Step.GIVE_UP: self.given_up,
                Step.RESOLVE: self.resolved,
            }
            lists.get(step, []).append(delivery)


def arrange(
    reading: Reading,
    rows: Mapping[Key, Row],
    statuses: Mapping[UUID, str],
    counts: WelcomeCounts,
    *,
    owner: UUID,
    in_hand: Collection[Key],
) -> Arrangement:
    """Decide on every delivery of a batch. A welcome admitted here counts for the next one at once."""
    made, known = Arrangement(), dict[Key, list[Delivery]]()
    for lead_id, of_lead in reading.by_lead().items():
        if not any((lead_id, kind) in rows for kind in KINDS):
            made.first.add(id(of_lead[0][0]))
            for delivery in deliveries(*of_lead[0], first=True):
                reason = barred(
                    delivery, statuses.get(lead_id), counts.of_mailbox(delivery.lead), counts.per_mailbox
                )
                if reason is None and delivery.kind == "welcome":
                    # Of new leads only: a retry was admitted, and a resend is an admin's.
                    if counts.site_is_full(delivery.lead):
                        reason = TOO_MANY_OF_SITE
                    else:
                        counts.admit(delivery.lead)
                made.new.append((delivery, reason))
            continue
        for record, lead in of_lead:
            for delivery in deliveries(record, lead, first=False):
                known.setdefault(delivery.key, []).append(delivery)
    for of_mail in known.values():
        # Of several records a retry says most: it may take back what is settled.
        delivery = next((each for each in reversed(of_mail) if each.retry), of_mail[0])
        reason = barred(
            delivery,
            statuses.get(delivery.lead.lead_id),
            counts.of_mailbox(delivery.lead),
            counts.per_mailbox,
        )
        row = rows[delivery.key]
        step = decide(delivery, row, reason, owner, in_hand)
        # Where it waits, so do the others: what is committed has an outcome (`remembered`).
        for each in of_mail if step is Step.WAIT else [delivery]:
            made.add(each, row, step, reason)
    return made

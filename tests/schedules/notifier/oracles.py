"""What must be true of the emails."""

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from aiokafka import TopicPartition

from contracts import headers, topics
from contracts.audit import AuditEvent
from contracts.failures import Kind, LeadFailed, Origin, failure_event_id
from contracts.leads import LeadReceived
from services.notifier.deliveries import KINDS, STAGE
from tests.schedules.database import ledger_queries as ledger
from tests.schedules.database.notifier_queries import MAILS
from tests.schedules.database.persister_queries import AUDIT
from tests.schedules.database.server import Row
from tests.schedules.notifier.faults import FAILED_STATES
from tests.schedules.oracles import decode_lead, records_of
from tests.schedules.retries import published_failures, will_be_retried

if TYPE_CHECKING:
    from tests.schedules.world import World

OPEN: Final = ("reserved", "sending")


def check_notifier(world: "World") -> list[str]:
    """Return what is wrong with the emails of each lead, and with the ledger's count of leads."""
    failures = {each.event_id: each for each in published_failures(world)}
    rows = {(row["lead_id"], row["kind"]): row for row in world.database.rows(MAILS)}
    found = list[str]()
    in_kafka = set[UUID]()
    for name, offset, value in records_of(world, topics.RECEIVED.name):
        if lead := decode_lead(value):
            in_kafka.add(lead.lead_id)
            found += _check_lead(name, offset, lead, rows, failures)
    accepted = Counter((lead_id, kind) for lead_id, kind, _ in world.accepted)
    for key, row in rows.items():
        # Nobody finishes a mail whose record Kafka has lost. The flusher, which is not here, reports it.
        is_lost = key[0] not in in_kafka or row["settled_by"] is not None
        if row["state"] in OPEN and is_lost and (world.lost_data or world.expired):
            continue
        found += _check_mail(world, row, accepted[key], failures)
    if not world.lost_data:
        found += check_doubled(world)
    entries = [row for row in world.database.rows(ledger.TABLE) if row["stage"] == STAGE]
    stored, parked = (sum(row[name] for row in entries) for name in ("stored", "parked"))
    leads = len({lead_id for lead_id, _ in rows})
    # A record that was counted as parked may come again after a kill, and its lead is not refused any more.
    if not stored <= leads <= stored + parked:
        found.append(f"the ledger counted {stored} leads and {parked} failures, and {leads} leads have mails")
    return found


def _check_lead(
    name: str,
    offset: int,
    lead: LeadReceived,
    rows: dict[tuple[UUID, str], Row],
    failures: dict[UUID, LeadFailed],
) -> list[str]:
    """Each accepted lead has a mail of each kind, or a failure that says why not."""
    failed = {
        each.kind
        for each in failures.values()
        if (f"{each.origin.topic}/{each.origin.partition}", each.origin.offset) == (name, offset)
    }
    return [
        f"{name} at {offset}: the {kind} of lead {lead.lead_id} is lost"
        for kind in KINDS
        if (lead.lead_id, kind) not in rows and kind not in failed
    ]


def _check_mail(world: "World", row: Row, accepted: int, failures: dict[UUID, LeadFailed]) -> list[str]:
    """A row is in a state that ends a mail, and what it says is true."""
    mail, state = f"the {row['kind']} of lead {row['lead_id']}", row["state"]
    failure = failures.get(row["settled_by"])
    may_miss = world.lost_data or world.expired
    entries = _unknown_entries(world)[row["lead_id"], row["kind"]]
    wrong = {
        f"{mail} is still {state}": state in OPEN,
        f"{mail} is sent, but the mail server does not have it": state == "sent" and not accepted,
        f"{mail} is suppressed: {row['reason']}": state == "suppressed",
        f"{mail} is {state}, and no failure was published for it": state in FAILED_STATES and not failure,
        f"{mail} is {state}, and was not retried": (
            state in FAILED_STATES and failure and will_be_retried(failure) and not may_miss
        ),
        f"{mail} is unknown without an audit entry": state == "unknown" and not entries and not may_miss,
    }
    return [text for text, is_wrong in wrong.items() if is_wrong]


def check_doubled(world: "World") -> list[str]:
    """No record sends a mail twice, and a mail is sent again only if its outcome is unknown."""
    found = [
        f"the {kind} of lead {lead_id} was sent {count} times for one record"
        for (lead_id, kind, record_id), count in Counter(world.accepted).items()
        if count > 1 and record_id
    ]
    unknown = _unknown_entries(world)
    accepted = Counter((lead_id, kind) for lead_id, kind, _ in world.accepted)
    found += [
        f"the {kind} of lead {lead_id} was sent {count} times, and is unknown {unknown[lead_id, kind]} times"
        for (lead_id, kind), count in accepted.items()
        if count > 1 + unknown[lead_id, kind]
    ]
    return found


def _unknown_entries(world: "World") -> Counter[tuple[UUID, str]]:
    return Counter(
        (row["lead_id"], row["details"]["kind"])
        for row in world.database.rows(AUDIT)
        if row["event"] == AuditEvent.EMAIL_UNKNOWN
    )


def first_undecided(world: "World", partition: TopicPartition, end: int) -> int:
    """Return the first offset below `end` whose mails have no outcome yet, or `end`."""
    log: list[tuple[int, Any]] = world.cluster.logs[partition].records()
    for offset, record in log:
        if offset < end and (lead_id := _lead_id(record.key)):
            is_retry = partition.topic == topics.RETRY_NOTIFIER.name
            kinds = (_kind_of(record),) if is_retry else KINDS
            decided = [_is_decided(world, lead_id, kind, partition, offset, log) for kind in kinds]
            if not all(decided):
                return offset
    return end


def _is_decided(
    world: "World",
    lead_id: UUID,
    kind: str,
    partition: TopicPartition,
    offset: int,
    log: list[tuple[int, Any]],
) -> bool:
    """Return True if the mail of this record has its outcome, or belongs to a later record."""
    row = world.database.table(MAILS).get((lead_id, kind))
    if row and row["state"] not in OPEN:
        return True
    if row is None or partition.topic == topics.RECEIVED.name:
        if row and row["settled_by"]:
            return True
        # The database refused the lead. If there is a row now, a retry has inserted it.
        published = {each.event_id for each in published_failures(world)}
        return _event_id(partition, offset, dict(log)[offset], kind) in published
    retries = [each for each in log if _lead_id(each[1].key) == lead_id and _kind_of(each[1]) == kind]
    newest, record = retries[-1]
    return bool(newest != offset or row["settled_by"] == _event_id(partition, offset, record, kind))


def _event_id(partition: TopicPartition, offset: int, record: Any, kind: str) -> UUID:
    """Return the id of the outcome that a record's mail gets."""
    place = Origin(
        topic=partition.topic,
        partition=partition.partition,
        offset=offset,
        timestamp_ms=record.timestamp,
        consumer_group="",
    )
    return failure_event_id(place, STAGE, cast("Kind", kind))


def _kind_of(record: Any) -> str:
    return headers.text(list(record.headers), headers.KIND) or ""


def _lead_id(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode())
    except ValueError:  # the key of a record that is no lead
        return None

"""What must be true of the deliveries."""

import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiokafka import TopicPartition

from contracts import topics
from contracts.audit import AuditEvent
from contracts.failures import LeadFailed
from contracts.lead_events import ERASED, RECEIVED, STATUS_CHANGED, UPDATED, LeadChanged, event_id_for
from services.webhooks.sender import CHAT_GAP, CONCURRENCY
from tests.schedules.database import ledger_queries as ledger
from tests.schedules.database.lead_event_queries import DELIVERIES, EVENTS, OUTBOX, UNSENT
from tests.schedules.database.persister_queries import AUDIT, LEADS
from tests.schedules.database.server import Row, Table
from tests.schedules.database.webhooks_queries import OPEN
from tests.schedules.oracles import decode_lead, records_of
from tests.schedules.retries import published_failures, will_be_retried
from tests.schedules.webhooks.receivers import API, CHAT, CRM, Arrival

if TYPE_CHECKING:
    from tests.schedules.world import World

# Which destinations list an event (sites.toml).
RECEIVING: Final[dict[str, tuple[str, ...]]] = {
    RECEIVED: (CRM, API, CHAT),
    STATUS_CHANGED: (CRM, API),
    UPDATED: (CRM,),
}
RETRY_WAITS: Final = "5,10,20"
# After these the sender may not know that a receiver has accepted an event, so it sends the event again.
_HIDE_REPLIES: Final = (
    "kill", "freeze", "cut", "slow_network", "stop_receiver", "stop_database", "hang_database",
    "slow_database", "lose_commit_reply", "fail_over_database", "resend_delivery",
)  # fmt: skip
# A process that stands still may send late what another one has sent meanwhile.
_DELAY_REQUESTS: Final = ("freeze", "slow_network")


def check_webhooks(world: "World") -> list[str]:
    """Return what is wrong with the events, the deliveries, and what arrived."""
    found = _check_leads(world) + _check_changes(world)
    for row in world.database.rows(DELIVERIES):
        found += _check_delivery(world, row)
    found += _check_first(world)
    return found + _check_events(world) + check_arrivals(world) + _check_count(world)


# --- each record has its events ------------------------------------------------------------------------


def _check_leads(world: "World") -> list[str]:
    """Each accepted lead has a delivery for each destination, or a failure that says why not."""
    failures = _failures(world)
    found = list[str]()
    for place, offset, value in records_of(world, topics.RECEIVED.name):
        lead = decode_lead(value)
        if lead is None or _is_unwanted(world, lead.lead_id):
            continue
        missing = _missing(world, event_id_for(lead.lead_id, RECEIVED), RECEIVED)
        failed = failures.get((place, offset), [])
        if missing and not failed:
            found.append(f"{place} at {offset}: lead {lead.lead_id} is lost for {', '.join(missing)}")
        elif missing and all(will_be_retried(each) for each in failed) and not _may_miss(world):
            found.append(f"{place} at {offset}: lead {lead.lead_id} has failed, and was not retried")
    return found


def _check_changes(world: "World") -> list[str]:
    """Each change of a lead that nobody ever hid is sent, and who knows a lead hears of its last status."""
    last = dict[UUID, LeadChanged]()
    found = list[str]()
    for place, offset, value in records_of(world, topics.CHANGED.name):
        change = LeadChanged.model_validate_json(value or b"")
        if change.type == STATUS_CHANGED and _is_newer(change, last.get(change.lead_id)):
            last[change.lead_id] = change
        if change.lead_id in world.unsent or _status(world, change.lead_id) == "erased":
            continue
        if missing := _missing(world, change.event_id, change.type):
            found.append(f"{place} at {offset}: {change.type} is lost for {', '.join(missing)}")
    for lead_id, change in last.items():
        if _status(world, lead_id) == "erased" or world.lost_data:
            continue
        rows = [row for row in world.database.rows(DELIVERIES) if row["lead_id"] == lead_id]
        for name in sorted({row["destination"] for row in rows} & set(RECEIVING[STATUS_CHANGED])):
            if (change.event_id, name) not in world.database.table(DELIVERIES):
                found.append(f"{name} has lead {lead_id}, and does not hear that it is {change.to_status}")
    if waiting := world.database.rows(OUTBOX):
        found.append(f"{len(waiting)} changes wait in the outbox")
    return found


def _is_newer(change: LeadChanged, than: LeadChanged | None) -> bool:
    return than is None or change.occurred_at >= than.occurred_at


def _missing(world: "World", event_id: UUID, type_: str) -> list[str]:
    """Return the destinations that list an event of this type and have no delivery of it."""
    deliveries = world.database.table(DELIVERIES)
    return [name for name in RECEIVING[type_] if (event_id, name) not in deliveries]


def _failures(world: "World") -> dict[tuple[str, int], list[LeadFailed]]:
    found = defaultdict[tuple[str, int], list[LeadFailed]](list)
    for each in published_failures(world):
        found[f"{each.origin.topic}/{each.origin.partition}", each.origin.offset].append(each)
    return found


def _status(world: "World", lead_id: UUID) -> str:
    row = world.database.table(LEADS).get((lead_id,))
    return str(row["status"]) if row else ""


def _is_unwanted(world: "World", lead_id: UUID) -> bool:
    return _status(world, lead_id) in ("erased", *UNSENT)


def _may_miss(world: "World") -> bool:
    return world.lost_data or world.expired


# --- each delivery has an outcome, and it is true ------------------------------------------------------


def _check_delivery(world: "World", row: Row) -> list[str]:
    event = world.database.table(EVENTS)[row["event_id"],]
    name = f"{event['type']} of lead {row['lead_id']} for {row['destination']}"
    state = row["state"]
    accepted = [each for each in world.receivers.arrivals if each.accepted and _is_of(each, row)]
    is_erased = event["body"] is None or event["type"] == ERASED
    retries = len(RETRY_WAITS.split(","))
    entries = [
        each
        for each in world.database.rows(AUDIT)
        if each["event"] == AuditEvent.DELIVERY_DEAD
        and each["lead_id"] == row["lead_id"]
        and each["details"]["destination"] == row["destination"]
    ]
    wrong = {
        f"{name} is still {state}": state in OPEN,
        f"{name} is delivered, but the receiver does not have it": state == "delivered" and not accepted,
        f"{name} is dead after {row['retries']} retries": state == "dead" and row["retries"] < retries,
        f"{name} is dead without an audit entry": state == "dead" and not entries and not world.lost_data,
        f"{name} is suppressed: {row['reason']}": state == "suppressed" and not is_erased,
    }
    return [text for text, is_wrong in wrong.items() if is_wrong]


def _is_of(arrival: Arrival, row: Row) -> bool:
    return (arrival.event_id, arrival.destination) == (row["event_id"], row["destination"])


def _check_first(world: "World") -> list[str]:
    """A destination gets a lead before its changes."""
    first = dict[tuple[UUID, str], Row]()
    for row in sorted(world.database.rows(DELIVERIES), key=lambda each: int(each["position"])):
        first.setdefault((row["lead_id"], row["destination"]), world.database.table(EVENTS)[row["event_id"],])
    return [
        f"{name} gets the {event['type']} of lead {lead_id} without the lead"
        for (lead_id, name), event in first.items()
        if event["type"] != RECEIVED and not world.lost_data
    ]


def _check_events(world: "World") -> list[str]:
    """An event counts its deliveries, and an erased lead's events have no data."""
    found = list[str]()
    rows = Counter(row["event_id"] for row in world.database.rows(DELIVERIES))
    for event in world.database.rows(EVENTS):
        name = f"{event['type']} of lead {event['lead_id']}"
        if rows[event["id"]] != event["delivery_count"]:
            found.append(f"{name} has {rows[event['id']]} deliveries, and counts {event['delivery_count']}")
        is_erased = _status(world, event["lead_id"]) == "erased" and event["type"] != ERASED
        if is_erased and event["body"] is not None:
            found.append(f"{name} has data, though the lead is erased")
    return found


def check_arrivals(world: "World") -> list[str]:
    """An event has one body, is sent again only for a reason, and nothing arrives after an erasure."""
    arrivals, found = world.receivers.arrivals, list[str]()
    bodies = defaultdict[tuple[UUID, str], set[str]](set)
    erased = set[tuple[UUID, str]]()
    faults = {event.what for event in world.plan.events}
    events = world.database.table(EVENTS)
    for each in arrivals:
        bodies[each.event_id, each.destination].add(each.body)
        event = events.get((each.event_id,))
        is_erasure = event is not None and event["type"] == ERASED
        lead = (each.lead_id, each.destination)
        if lead in erased and not is_erasure and not faults & {*_DELAY_REQUESTS, "fail_over_database"}:
            found.append(f"{each.destination} gets lead {each.lead_id} after its erasure")
        if is_erasure and each.accepted:
            erased.add(lead)
    if not world.lost_data:
        found += [
            f"{name} gets event {key} with two bodies"
            for (key, name), each in bodies.items()
            if len(each) > 1
        ]
    if not faults & set(_HIDE_REPLIES):
        replies = Counter(
            (each.event_id, each.destination)
            for each in arrivals
            if not each.way and each.lead_id not in world.refused_outcomes
        )
        found += [
            f"{name} gets event {event_id} again, though it has answered 200"
            for (event_id, name), count in replies.items()
            if count > 1
        ]
    return found


def _check_count(world: "World") -> list[str]:
    """The ledger counts as stored what could be decoded."""
    entries = [row for row in world.database.rows(ledger.TABLE) if row["stage"] == "webhooks"]
    undecodable = sum(row["undecodable"] for row in entries)
    poison = [value for _, __, value in records_of(world, topics.RECEIVED.name) if decode_lead(value) is None]
    if undecodable != len(poison) and not _may_miss(world):
        return [f"the ledger counted {undecodable} records as undecodable, and there are {len(poison)}"]
    return []


# --- while it runs -------------------------------------------------------------------------------------


def check_order(world: "World", arrival: Arrival) -> list[str]:
    """A delivery is sent once the earlier ones of its lead to the same destination are over."""
    row = world.database.table(DELIVERIES).get((arrival.event_id, arrival.destination))
    if row is None or world.lost_data:
        return []
    return [
        f"{arrival.destination} gets event {row['position']} of lead {row['lead_id']},"
        f" and event {each['position']} is {each['state']}"
        for each in world.database.rows(DELIVERIES)
        if (each["lead_id"], each["destination"]) == (row["lead_id"], row["destination"])
        and each["position"] < row["position"]
        and each["state"] in OPEN
    ]


def check_claims(world: "World", writes: dict[str, Table]) -> list[str]:
    """All processes send at most eight requests at once to a destination, and one a second to a chat."""
    claimed = [row for row in writes.get(DELIVERIES, {}).values() if row["state"] == "sending"]
    found = list[str]()
    for name in sorted({row["destination"] for row in claimed}):
        ours = [row for row in world.database.rows(DELIVERIES) if row["destination"] == name]
        now = max(row["updated_at"] for row in claimed)
        sending = [row for row in ours if row["state"] == "sending" and row["lease_until"] > now]
        if len(sending) > CONCURRENCY:
            found.append(f"{name} gets {len(sending)} requests at once")
        if name == CHAT:
            begun = sorted(row["lease_until"] for row in sending)
            pairs = itertools.pairwise(begun)
            found += [f"{name} gets two requests within a second" for a, b in pairs if b - a < CHAT_GAP]
    return found


def first_unplanned(world: "World", partition: TopicPartition, end: int) -> int:
    """Return the first offset below `end` whose lead has neither an event nor a failure, or `end`."""
    if partition.topic != topics.RECEIVED.name:
        return end
    failed = _failures(world)
    log: list[tuple[int, Any]] = world.cluster.logs[partition].records()
    for offset, record in log:
        lead = decode_lead(record.value) if offset < end else None
        if lead is None or lead.lead_id in world.unsent or _status(world, lead.lead_id) == "erased":
            continue
        is_failed = (f"{partition.topic}/{partition.partition}", offset) in failed
        if _missing(world, event_id_for(lead.lead_id, RECEIVED), RECEIVED) and not is_failed:
            return offset
    return end

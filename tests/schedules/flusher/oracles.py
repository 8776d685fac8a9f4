"""What must be true of the replay queue, the retries, the dead letters and the changes of leads."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiokafka import TopicPartition

from contracts import topics
from contracts.audit import AuditEvent
from contracts.failures import LeadFailed
from contracts.lead_events import LeadChanged
from tests.schedules.database.lead_event_queries import OUTBOX
from tests.schedules.database.persister_queries import AUDIT, LEADS, QUEUE
from tests.schedules.database.server import Row, Table
from tests.schedules.flusher.failures import lead_id_of, read_failure
from tests.schedules.flusher.stages import RETRY_TOPICS, sends_needed

if TYPE_CHECKING:
    from tests.schedules.world import World

RETRIES: Final = 3
# After these a retry may have been sent by a flusher that could not record it.
_HIDE_SENDS: Final = {
    "kill", "freeze", "restart", "join", "cut", "stop_broker", "stop_all_brokers", "silence_broker",
    "load_groups", "slow_network", "stop_database", "hang_database", "slow_database", "lose_commit_reply",
    "request_retry",
}  # fmt: skip


def check_flusher(world: "World") -> list[str]:
    """Return what is wrong with the queue, the retries and the outbox."""
    sent = _records_by_row(world, RETRY_TOPICS)
    letters = _records_by_row(world, (topics.DEAD.name,))
    originals = _original_values(world)
    found = _check_failures(world)
    for row in world.database.rows(QUEUE):
        if not world.lost_data and not world.expired:
            found += _check_row(world, row, sent[row["id"]], letters[row["id"]])
            found += _check_values(row, sent[row["id"]], originals)
        elif row["state"] in ("waiting", "replaying"):
            found.append(f"row {row['id']} is still {row['state']}")
    return found + _check_changes(world)


def _records_by_row(world: "World", names: tuple[str, ...]) -> dict[UUID, list[Any]]:
    """Return the records of these topics that name a row of the queue, by row."""
    found = defaultdict[UUID, list[Any]](list)
    for partition, log in world.cluster.logs.items():
        if partition.topic in names:
            for _, record in log.records():
                failure = read_failure(record)
                if failure and failure.queue_id:
                    found[failure.queue_id].append((failure, record))
    return found


def _original_values(world: "World") -> dict[Any, set[bytes | None]]:
    """Return the bytes of the records that failed at first, by the effect and by the failure's id."""
    found = defaultdict[Any, set[bytes | None]](set)
    for _, key, value, headers in world.records.failures:
        failure = LeadFailed.from_headers(headers)
        found[failure.stage, lead_id_of(key), failure.kind].add(value)
        found[failure.event_id].add(value)
    return found


def _check_values(row: Row, sent: list[Any], originals: dict[Any, set[bytes | None]]) -> list[str]:
    """A row's retries have the bytes of the record that failed. A retry of a conflict is another lead."""
    if row["by_origin"]:
        return []
    effect = row["stage"], row["lead_id"], row["kind"]
    known = originals[effect] if row["lead_id"] else originals[row["id"]]
    is_other = any(record.value not in known for _, record in sent)
    return [f"row {row['id']} of {row['stage']} was sent with other bytes"] * is_other


def _is_erased(world: "World", lead_id: UUID | None) -> bool:
    row = world.database.table(LEADS).get((lead_id,))
    return bool(row and row["status"] == "erased")


def _check_failures(world: "World") -> list[str]:
    """Each failure that Kafka has is in the audit log, and has a row."""
    entries = {row["event_id"] for row in world.database.rows(AUDIT)}
    rows = world.database.rows(QUEUE)
    effects = {(row["stage"], row["lead_id"], row["kind"]) for row in rows}
    ids = {row["id"] for row in rows}
    origins = {(row["origin_topic"], row["origin_partition"], row["origin_offset"]) for row in rows}
    found = list[str]()
    for partition, log in world.cluster.logs.items():
        if partition.topic != topics.FAILED.name:
            continue
        for offset, record in log.records():
            name = f"{partition.topic}/{partition.partition} at {offset}"
            failure = read_failure(record)
            if failure is None:
                if (partition.topic, partition.partition, offset) not in origins:
                    found.append(f"{name} describes no failure, and has no row")
                continue
            if failure.event_id not in entries:
                found.append(f"{name}: the failure {failure.event_id} is not in the audit log")
            if not _has_row(failure, lead_id_of(record.key), effects, ids, origins):
                found.append(f"{name}: the failure {failure.event_id} has no row")
    return found


def _has_row(
    failure: LeadFailed, lead_id: UUID | None, effects: set[Any], ids: set[UUID], origins: set[Any]
) -> bool:
    origin = failure.origin.topic, failure.origin.partition, failure.origin.offset
    return (
        failure.queue_id in ids
        or (failure.stage, lead_id, failure.kind) in effects
        or origin in origins
        or failure.event_id in ids
    )


def _check_row(world: "World", row: Row, sent: list[Any], letters: list[Any]) -> list[str]:
    """A row has ended, and what it says is true. Its retries have its bytes."""
    name, state = f"row {row['id']} of {row['stage']}", row["state"]
    needed = sends_needed(row["id"])
    is_exact = not _HIDE_SENDS & {event.what for event in world.plan.events}
    dead_entries = [
        each
        for each in world.database.rows(AUDIT)
        if each["event"] == AuditEvent.LEAD_DEAD and each["details"]["queue_id"] == str(row["id"])
    ]
    erased = _is_erased(world, row["lead_id"])
    wrong = {
        f"{name} is still {state}": state in ("waiting", "replaying"),
        f"{name} is resolved, but no stage has handled it": state == "resolved"
        and row["id"] not in world.resolved,
        f"{name} has used {row['attempts']} retries, and Kafka has {len(sent)}": len(sent) < row["attempts"],
        f"{name} was sent {len(sent)} times, and needed {needed}": is_exact and len(sent) > needed,
        f"{name} is dead after {row['attempts']} retries": (
            state == "dead" and not row["final"] and row["attempts"] < RETRIES
        ),
        f"{name} is dead without a dead letter": state == "dead" and not letters,
        f"{name} is dead without an audit entry": state == "dead" and not dead_entries,
        f"{name} is {state}, but has a dead letter": bool(letters) and state == "resolved" and not sent,
    }
    return [text for text, is_wrong in wrong.items() if is_wrong and not erased]


def _check_changes(world: "World") -> list[str]:
    """Each change of a lead is published, in order for each lead, and only then leaves the outbox."""
    found, published = list[str](), defaultdict[UUID, list[UUID]](list)
    for partition, log in world.cluster.logs.items():
        if partition.topic == topics.CHANGED.name:
            for _, record in log.records():
                change = LeadChanged.model_validate_json(record.value)
                if change.event_id not in published[change.lead_id]:
                    published[change.lead_id].append(change.event_id)
    if waiting := world.database.rows(OUTBOX):
        found.append(f"{len(waiting)} changes wait in the outbox")
    if world.lost_data:
        return found
    for lead_id, event_ids in world.changes.items():
        missing = [each for each in event_ids if each not in published[lead_id]]
        if missing and not waiting:
            found.append(f"{len(missing)} changes of lead {lead_id} are lost")
        elif not missing and published[lead_id] != event_ids:
            found.append(f"the changes of lead {lead_id} are published in another order")
    return found


def note_changes(world: "World", writes: dict[str, Table]) -> None:
    """Remember each change that was committed to the outbox."""
    for row in writes.get(OUTBOX, {}).values():
        known = world.changes.setdefault(row["lead_id"], []) if row else []
        if row and row["event_id"] not in known:
            known.append(row["event_id"])


def first_unstored(world: "World", partition: TopicPartition, end: int) -> int:
    """Return the first offset below `end` whose failure is not in the audit log, or `end`."""
    entries = {row["event_id"] for row in world.database.rows(AUDIT)}
    log: list[tuple[int, Any]] = world.cluster.logs[partition].records()
    for offset, record in log:
        failure = read_failure(record) if offset < end else None
        if failure and failure.event_id not in entries:
            return offset
    return end

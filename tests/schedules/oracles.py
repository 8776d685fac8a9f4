"""What must be true at the end of every schedule."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from contracts import headers, topics
from contracts.audit import AuditEvent
from contracts.leads import LeadReceived
from tests.schedules.database import ledger_queries as ledger
from tests.schedules.database import persister_queries as tables

if TYPE_CHECKING:
    from tests.schedules.world import World


def check_ledger(world: "World", stage: Any) -> list[str]:
    """Return what is wrong with a stage's ledger: it counts each record that Kafka has, once."""
    found = list[str]()
    for row in (each for each in world.database.rows(ledger.TABLE) if each["stage"] == stage):
        name = f"{row['topic']}/{row['partition']}"
        counts = {each: row[each] for each in ledger.OUTCOMES if row[each]}
        if row["next_offset"] - row["base_offset"] != sum(counts.values()):
            found.append(f"the ledger of {name} does not balance: {row}")
        if row["missing"] and not world.expired:
            found.append(f"the ledger of {name} misses {row['missing']} records that Kafka had: {counts}")
    return found


def check_persister(world: "World") -> list[str]:
    """Return what is wrong with the stored leads, their audit entries and the published failures."""
    leads = {row["id"]: row for row in world.database.rows(tables.LEADS)}
    received = Counter(
        row["lead_id"]
        for row in world.database.rows(tables.AUDIT)
        if row["event"] == AuditEvent.LEAD_RECEIVED
    )
    found = [f"lead {each} is stored without an audit entry" for each in leads if not received[each]]
    found += [f"lead {each} has {count} audit entries" for each, count in received.items() if count > 1]
    failed = _failures(world)
    for name, offset, value in records_of(world, topics.RECEIVED.name):
        lead = decode_lead(value)
        if lead is None:
            if (name, offset, value) not in failed:
                found.append(f"{name} at {offset} is no lead, and no failure was published for it")
        elif (name, offset, value) in failed:
            continue
        elif lead.lead_id not in leads:
            found.append(f"{name} at {offset}: lead {lead.lead_id} is lost")
        elif leads[lead.lead_id]["body_sha256"] != lead.body_sha256:
            found.append(f"{name} at {offset} conflicts, and no failure was published for it")
    stored = sum(row["stored"] for row in world.database.rows(ledger.TABLE) if row["stage"] == "persister")
    entries = [row for row in world.database.rows(tables.AUDIT) if row["event"] != AuditEvent.LEAD_CONFLICT]
    # A process may be killed after it has counted a refused record as failed, and before it commits the
    # offset. The next process reads the record again, and may store it then. The count stays as it was.
    places = {(name, offset) for name, offset, _ in failed}
    refused_before = sum(_place_of(row["details"]) in places for row in entries)
    if not len(entries) - refused_before <= stored <= len(entries):
        found.append(
            f"the ledger counted {stored} records as stored, and there are {len(entries)} entries, of which"
            f" {refused_before} had been refused before"
        )
    return found


def _place_of(details: dict[str, Any]) -> tuple[str, int | None]:
    return f"{details.get('topic')}/{details.get('partition')}", details.get("offset")


def records_of(world: "World", topic: str) -> list[tuple[str, int, bytes | None]]:
    """Return the place, the offset and the value of each record that a topic has."""
    return [
        (f"{partition.topic}/{partition.partition}", offset, record.value)
        for partition, log in world.cluster.logs.items()
        if partition.topic == topic
        for offset, record in log.records()
    ]


def _failures(world: "World") -> dict[tuple[str, int, bytes | None], str]:
    """Return the reason of each published failure, by the place and the value of the failed record."""
    found = dict[tuple[str, int, bytes | None], str]()
    for partition, log in world.cluster.logs.items():
        if partition.topic != topics.FAILED.name:
            continue
        for _, record in log.records():
            values = {name: value.decode() for name, value in record.headers}
            place = f"{values[headers.ORIGINAL_TOPIC]}/{values[headers.ORIGINAL_PARTITION]}"
            offset = int(values[headers.ORIGINAL_OFFSET])
            found[place, offset, record.value] = values[headers.EXCEPTION_MESSAGE]
    return found


def decode_lead(value: bytes | None) -> LeadReceived | None:
    """Return the lead of a record, or None if it has none."""
    try:
        return LeadReceived.model_validate_json(value or b"")
    except ValidationError:
        return None

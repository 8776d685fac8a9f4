"""Decides which data belongs to a person, and how it is exported. No I/O, no clock."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contracts import topics
from contracts.leads import LeadReceived
from services.admin.schemas.personal_data import KafkaKeeps, PersonLead, PersonQueueRow


@dataclass(frozen=True)
class Traces:
    """The ids of the leads and queue rows that contain an address or a phone number.

    A queue row of one of these leads is not in `records`, because it belongs to the lead.
    """

    leads: frozenset[UUID] = frozenset()
    records: frozenset[UUID] = frozenset()

    def __or__(self, other: "Traces") -> "Traces":
        """Return the ids of both objects."""
        return Traces(self.leads | other.leads, self.records | other.records)


@dataclass(frozen=True)
class Selection:
    """What an admin selected for the erasure of a person: the ids of leads and of queue rows.

    `leads` and `records` (queue rows) are erased only if they contain the person's address or phone number.
    If `records` is None, all queue rows that contain one of the two are erased. The lead `own_lead` is always
    erased.
    """

    leads: frozenset[UUID]
    records: frozenset[UUID] | None = None
    own_lead: UUID | None = None

    def choose(self, traces: Traces) -> Traces:
        """Return the ids to erase: the selected ids that are also in `traces`, and the id `own_lead`."""
        own = {self.own_lead} if self.own_lead else set()
        records = traces.records if self.records is None else traces.records & self.records
        return Traces((traces.leads & self.leads) | own, records)


def belongs_to(lead: PersonLead, email: str | None) -> bool:
    """Return True if a lead that was found for a person certainly belongs to this person.

    A lead with another address may belong to somebody else: an admin may have changed its address, or two
    people may share a phone.
    """
    return lead.email is None or (email is not None and lead.email.lower() == email.lower())


def addresses_of(
    lead: Mapping[str, Any] | None, emails: Sequence[Mapping[str, Any]], queue: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Return a lead's email addresses in lower case: from its row, its emails and its queued records."""
    addresses = {lead["email"], (lead["original"] or {}).get("email")} if lead else set()
    addresses |= {mail["recipient"] for mail in emails if mail["kind"] == "welcome"}
    addresses |= {address for row in queue if not row["by_origin"] for address in row["addresses"]}
    return {address.lower() for address in addresses if address}


def own_rows(
    lead: Mapping[str, Any] | None, queue: Sequence[Mapping[str, Any]], addresses: set[str]
) -> list[Mapping[str, Any]]:
    """Return a lead's queue rows. Leave out rows whose records contain only other people's addresses.

    `addresses` are the lead's addresses. The SQL function `erase_lead` chooses the same rows.
    """
    is_unknown = not addresses and (lead is None or lead["status"] != "erased")
    return [
        row
        for row in queue
        if not row["by_origin"] or is_unknown or not row["addresses"] or addresses & set(row["addresses"])
    ]


def erasure_message(leads: int, records: int) -> str:
    """Return the message that says how many leads and queued records were erased."""
    message = f"The personal data of {leads} {'lead' if leads == 1 else 'leads'}"
    if records:
        message += f" and {records} {'record' if records == 1 else 'records'} in the queue"
    return f"{message} of this person {'was' if leads + records == 1 else 'were'} deleted."


def kafka_keeps(at: datetime) -> list[KafkaKeeps]:
    """Return the topics that may contain records of a lead, each with the time at which Kafka deletes them.

    `at` is the time at which the records were written.
    """
    return [
        KafkaKeeps(topic=topic.name, until=at + timedelta(milliseconds=topic.retention_ms))
        for topic in topics.ALL
        if topic is not topics.AUDIT
    ]


def to_queue_row(row: Mapping[str, Any]) -> PersonQueueRow:
    """Return a row of the replay queue with its records (the current and the original payload) decoded.

    A record that cannot be decoded is returned in base64.
    """
    records = {name: _decoded(row[name]) for name in ("payload", "original_payload")}
    return PersonQueueRow.model_validate({**row, **records})


def _decoded(payload: bytes | None) -> Any:
    """Return a record as a lead, or its bytes in base64 if it cannot be decoded."""
    if payload is None:
        return None
    try:
        return LeadReceived.model_validate_json(payload).model_dump(mode="json")
    except ValueError:
        return {"base64": b64encode(payload).decode()}

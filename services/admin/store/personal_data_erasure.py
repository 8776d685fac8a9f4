"""The adapter to PostgreSQL that finds and erases what an address left behind. Each erasure is audited.

Raises `DependencyUnavailable`. What is done with a lead's fields is in `personal_data`.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from runtime.database import erasure
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from runtime.failures import DependencyRefused, DependencyUnavailable, Failure
from runtime.logs import logger
from services.admin.rules.errors import NotFoundError
from services.admin.rules.lead_edit_rules import parked_lead
from services.admin.rules.personal_data import Selection, Traces, erasure_message, kafka_keeps
from services.admin.schemas.personal_data import LISTED_MAX, Erased, ErasedPerson, PersonLead, PersonRecords
from services.admin.store.leads import NO_SUCH_LEAD

_SQL: Any = load_queries(Path(__file__).with_name("personal_data.sql"))
# Larger records are not read for a list of LISTED_MAX leads: 64 MiB in all. A lead with every field full is
# smaller.
RECORD_MAX_BYTES: Final = 128 * 1024
# A database that hangs costs seconds per attempt, so erasing stops after this many outages in a row.
OUTAGES_MAX: Final = 2
_LOG: Final = logger("personal_data")


async def find_person(pool: Pool, email: str) -> PersonRecords:
    """Return what holds an address. Reads the records of at most `LISTED_MAX` leads that are not stored."""
    async with snapshot(pool) as connection:
        person = await traces_of(connection, email)
        rows = _SQL.list_person(connection, ids=sorted(person.leads))
        leads = [PersonLead.model_validate(dict(row)) async for row in rows]
        ids = [lead.lead_id for lead in leads if lead.status is None][:LISTED_MAX]
        found = _SQL.read_newest_records(connection, ids=ids, max_bytes=RECORD_MAX_BYTES)
        records = {row["lead_id"]: row async for row in found}
    leads = [
        _with_record(lead, records[lead.lead_id], email) if lead.lead_id in records else lead
        for lead in leads
    ]
    return PersonRecords(leads=leads, records=sorted(person.records))


async def traces_of(connection: Connection, email: str) -> Traces:
    """Return the ids of what holds an address."""
    rows = [row async for row in _SQL.find_by_email(connection, email=email)]
    return Traces(
        frozenset(row["lead_id"] for row in rows if row["lead_id"]),
        frozenset(row["queue_id"] for row in rows if row["queue_id"]),
    )


async def erase_lead(pool: Pool, lead_id: UUID, actor: str) -> Erased:
    """Erase everything that is stored of a lead. Raises `NotFoundError` if there is nothing."""
    async with transaction(pool) as connection:
        done = await erasure.erase_lead(connection, lead_id, actor)
    if done is None:
        raise NotFoundError(NO_SUCH_LEAD)
    # Whoever restores an older backup finds the ids to erase again only in the logs.
    _LOG.info("Lead erased", lead_id=str(lead_id))
    at = datetime.fromisoformat(done["erased_at"])
    status = "The lead was erased before." if done["already"] else "The lead is erased."
    return Erased(
        lead_id=lead_id,
        already=done["already"],
        erased_at=at,
        was_stored=done["stored"],
        mails_emptied=done["emails"],
        queue_rows_emptied=done["queue_rows"],
        kafka=kafka_keeps(at),
        message=f"{status} Its record, its place in the ledger and its audit trail stay.",
    )


async def erase_person(
    pool: Pool, email: str | None, actor: str, only: Selection | None = None
) -> ErasedPerson:
    """Erase the leads and records of an address, each in a transaction of its own.

    `only` limits the leads; without it, all are erased. Raises `DependencyUnavailable` before the first
    erasure; later failures are in `failed` of the result.
    """
    person = Traces()
    if email:
        async with transaction(pool) as connection:
            person = await traces_of(connection, email)
    chosen = only.choose(person) if only else person
    erased, records, failed = list[Erased](), list[UUID](), dict[UUID, str]()
    outages, reason = 0, ""
    for wanted in (*sorted(chosen.leads), *sorted(chosen.records)):
        if outages >= OUTAGES_MAX:
            failed[wanted] = reason
            continue
        try:
            if wanted in chosen.leads:
                erased.append(await erase_lead(pool, wanted, actor))
            elif await _erase_record(pool, wanted, actor):
                records.append(wanted)
        except NotFoundError:  # its last row is gone since it was found
            continue
        except Failure as failure:
            failed[wanted] = reason = failure.reason
            is_outage = isinstance(failure, DependencyUnavailable) and not isinstance(
                failure, DependencyRefused
            )
            outages = outages + 1 if is_outage else 0
        else:
            outages = 0
    message = erasure_message(len(erased), len(records))
    return ErasedPerson(
        erased=erased,
        records=records,
        failed=failed,
        message=message if not failed else f"{message} Repeat the request for the others.",
    )


async def _erase_record(pool: Pool, queue_id: UUID, actor: str) -> bool:
    """Return False if there is nothing to erase: the record went with one of the leads."""
    async with transaction(pool) as connection:
        done = bool(await _SQL.erase_record(connection, id=queue_id, actor=actor))
    if done:
        _LOG.info("Record erased", queue_id=str(queue_id))
    return done


def _with_record(lead: PersonLead, row: Mapping[str, Any], email: str) -> PersonLead:
    """Return a lead that is not stored with the name and address of its record.

    A record that cannot be decoded has no name, and perhaps several addresses: the one that was searched for
    counts.
    """
    if read := parked_lead(row):
        return lead.model_copy(update={"name": read.name, "email": read.email})
    addresses = row["addresses"]
    found = email if email.lower() in addresses else next(iter(addresses), lead.email)
    return lead.model_copy(update={"email": found})

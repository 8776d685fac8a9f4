"""Finds and erases the personal data that belongs to an email address or a phone. Each erasure is audited.

The methods raise `DependencyUnavailable`, and `NotFoundError` of `services.admin.rules.errors`.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from contracts.phone_numbers import phone_ending
from runtime.database import erasure
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from runtime.failures import DependencyRefused, DependencyUnavailable, Failure
from runtime.logs import logger
from services.admin.rules.errors import NotFoundError
from services.admin.rules.lead_edit_rules import queued_lead
from services.admin.rules.personal_data import Selection, Traces, erasure_message, kafka_keeps
from services.admin.schemas.personal_data import LISTED_MAX, Erased, ErasedPerson, PersonLead, PersonRecords
from services.admin.store.leads.leads import NO_SUCH_LEAD
from services.admin.texts import gettext

_SQL: Any = load_queries(Path(__file__).with_name("erasure.sql"))
# Larger records are not read, so that a list of LISTED_MAX leads reads 64 MiB at most. A lead whose fields
# all have their maximum length is smaller.
RECORD_MAX_BYTES: Final = 128 * 1024
# Each attempt on a database that hangs takes seconds, so an erasure stops after this many outages in a row.
OUTAGES_MAX: Final = 2


class Erasures:
    """Erases the data of one lead, or of all leads and queued records with a given address or phone."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._log = logger("personal_data")

    async def find_person(
        self, email: str | None, phone: str | None = None, limit: int | None = None
    ) -> PersonRecords:
        """Return the leads and queue rows with this email address or this phone. Changes nothing.

        The phone is looked up only in the table of leads. With `limit`, returns only the newest leads, up to
        that number. A lead that is not stored yet has the name and the address of its queued record. At most
        `LISTED_MAX` queued records are read.
        """
        async with snapshot(self._pool) as connection:
            traces = await find_traces(connection, email, phone)
            rows = _SQL.list_person(connection, ids=sorted(traces.leads), limit=limit)
            leads = [PersonLead.model_validate(dict(row)) async for row in rows]
            ids = [lead.lead_id for lead in leads if lead.status is None][:LISTED_MAX]
            queued = _SQL.read_newest_records(connection, ids=ids, max_bytes=RECORD_MAX_BYTES)
            records = {row["lead_id"]: row async for row in queued}
        leads = [
            _with_record(lead, records[lead.lead_id], email) if lead.lead_id in records else lead
            for lead in leads
        ]
        return PersonRecords(leads=leads, records=sorted(traces.records))

    async def erase_lead(self, lead_id: UUID, actor: str) -> Erased:
        """Erase the personal data of a lead wherever it is stored. If it is already erased, change nothing.

        Raises `NotFoundError` if nothing is stored about the lead.
        """
        async with transaction(self._pool) as connection:
            done = await erasure.erase_lead(connection, lead_id, actor)
        if done is None:
            raise NotFoundError(gettext(NO_SUCH_LEAD))
        # After the restore of an older backup, only the logs have the ids that must be erased again.
        self._log.info("Lead erased", lead_id=str(lead_id))
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
        self, email: str | None, actor: str, only: Selection | None = None, *, phone: str | None = None
    ) -> ErasedPerson:
        """Erase the leads and queue rows with this email address or this phone.

        The phone is looked up only in the table of leads. `only` limits the erasure to some of these leads
        and rows. Each lead or row is erased in its own transaction. If one cannot be erased, `failed` in the
        result maps its id to the reason. Raises `DependencyUnavailable` if the search for the leads and rows
        fails.
        """
        async with transaction(self._pool) as connection:
            traces = await find_traces(connection, email, phone)
        chosen = only.choose(traces) if only else traces
        erased, records, failed = list[Erased](), list[UUID](), dict[UUID, str]()
        outages, reason = 0, ""
        for item_id in (*sorted(chosen.leads), *sorted(chosen.records)):
            if outages >= OUTAGES_MAX:
                failed[item_id] = reason
                continue
            try:
                if item_id in chosen.leads:
                    erased.append(await self.erase_lead(item_id, actor))
                elif await self._erase_record(item_id, actor):
                    records.append(item_id)
            except NotFoundError:  # deleted since it was found
                continue
            except Failure as failure:
                failed[item_id] = reason = failure.reason
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

    async def _erase_record(self, queue_id: UUID, actor: str) -> bool:
        """Erase the record of a queue row. Returns False if there was nothing left to erase."""
        async with transaction(self._pool) as connection:
            done = bool(await _SQL.erase_record(connection, id=queue_id, actor=actor))
        if done:
            self._log.info("Record erased", queue_id=str(queue_id))
        return done


async def find_traces(connection: Connection, email: str | None, phone: str | None = None) -> Traces:
    """Return the ids of the leads and queue rows with this email address or this phone.

    The phone is looked up only in the table of leads.
    """
    rows = [row async for row in _SQL.find_by_email(connection, email=email)] if email else []
    if ending := phone_ending(phone):
        rows += [row async for row in _SQL.find_by_phone(connection, ending=ending)]
    return Traces(
        frozenset(row["lead_id"] for row in rows if row["lead_id"]),
        frozenset(row["queue_id"] for row in rows if row["queue_id"]),
    )


def _with_record(lead: PersonLead, row: Mapping[str, Any], email: str | None) -> PersonLead:
    """Return a lead that is not stored, with the name and address of its queued record.

    If the record cannot be decoded, the lead gets no name. Its address is then the searched address `email`
    if the record contains it, or else the first address in the record.
    """
    if queued := queued_lead(row):
        return lead.model_copy(update={"name": queued.name, "email": queued.email, "phone": queued.phone})
    addresses = row["addresses"]
    address = email if email and email.lower() in addresses else next(iter(addresses), lead.email)
    return lead.model_copy(update={"email": address})

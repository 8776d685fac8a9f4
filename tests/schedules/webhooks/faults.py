"""The faults of receivers, and the actions of an admin. Each method is an event of a plan."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final
from uuid import UUID

import asyncpg

from contracts.lead_events import STATUS_CHANGED, UPDATED
from contracts.leads import LeadReceived, LeadStatus
from tests.schedules.database.lead_event_queries import DELIVERIES, OUTBOX, UNSENT, erase, put_delivery
from tests.schedules.database.persister_queries import LEADS
from tests.schedules.database.server import Transaction
from tests.schedules.database.webhooks_queries import DESTINATIONS
from tests.schedules.plan import Event, seconds_between
from tests.schedules.webhooks.receivers import ADDRESSES, FAILURES, FOR_ADMINS, WITHOUT_REPLY, Receivers

_NAMES: Final = tuple(ADDRESSES)
# A lock that is held for longer is a 503 for the admin.
ADMIN_SECONDS: Final = 10.0
# How an admin changes a lead: the status that it gets, or an empty text for another name.
CHANGES: Final = ("contacted", "won", "spam", "received", "")
_LEAD_COLUMNS: Final = (
    "site", "name", "email", "phone", "company", "service", "message", "consent", "consent_text",
    "consent_version", "locale", "source", "extra",
)  # fmt: skip


class ReceiverFaults:
    """What can happen to the deliveries of a `World`."""

    receivers: Receivers
    database: Any
    records: Any
    unsent: set[UUID]
    refused_outcomes: set[UUID]
    _lasting: Any

    async def stop_receiver(self, number: float, seconds: float) -> None:
        """Stop a receiver: it refuses connections."""
        name = _NAMES[int(number)]
        self.receivers.stop(name)
        await self._lasting(seconds)
        self.receivers.start(name)

    async def fail_receiver(self, number: float, way: float, seconds: float) -> None:
        """Let a receiver refuse, hang or drop. An admin enables it again if it was disabled."""
        name, fault = _NAMES[int(number)], FAILURES[int(way)]
        self.receivers.fail(name, fault)
        await self._lasting(seconds)
        self.receivers.work(name, fault)
        if fault in FOR_ADMINS:
            # A request that is on its way may still disable or pause the destination.
            await self._lasting(2.0)
            await self._enable(name)

    async def forget_name(self, number: float, seconds: float) -> None:
        """Let the name of a receiver's host be unknown."""
        name = _NAMES[int(number)]
        self.receivers.forget(name)
        await self._lasting(seconds)
        self.receivers.remember(name)

    async def change_lead(self, number: float, change: float) -> None:
        """An admin changes a lead that was published, if there is one."""
        if lead := self._published(number):
            async with self._admin_transaction() as transaction:
                await self._change_lead(transaction, lead, CHANGES[int(change)])

    async def _change_lead(self, transaction: Transaction, lead: LeadReceived, status: str) -> None:
        """Give a lead this status, or another name. A trigger writes the change into the outbox."""
        await transaction.lock(LEADS, (lead.lead_id,))
        row = transaction.get(LEADS, (lead.lead_id,)) or stored(lead)
        old = row["status"]
        if old in ("erased", status):
            return
        changed = {"status": LeadStatus(status)} if status else {"name": f"{row['name']} II"}
        transaction.put(LEADS, (lead.lead_id,), row | changed)
        if status in UNSENT:
            self.unsent.add(lead.lead_id)
        if old in UNSENT and (status or old) in UNSENT:
            return
        position = transaction.database.next_number()
        event = {
            "position": position,
            "event_id": self.records.next_uuid(),
            "type": STATUS_CHANGED if status else UPDATED,
            "lead_id": lead.lead_id,
            "site": lead.site,
            "changed": [] if status else ["name"],
            "from_status": old if status else None,
            "to_status": status or None,
            "created_at": transaction.now,
        }
        transaction.put(OUTBOX, (position,), event)

    async def erase_lead(self, number: float) -> None:
        """An admin erases a lead that was published, if there is one."""
        if lead := self._published(number):
            async with self._admin_transaction() as transaction:
                if transaction.get(LEADS, (lead.lead_id,)) is None:
                    transaction.put(LEADS, (lead.lead_id,), stored(lead))
                await erase(transaction, lead.lead_id)

    async def refuse_outcome(self, number: float, seconds: float) -> None:
        """Let the database refuse the outcomes of one lead's deliveries, as by a trigger."""
        if lead := self._published(number):
            self.refused_outcomes.add(lead.lead_id)
            self.records.refused.add(key := f"outcome {lead.lead_id}")
            await self._lasting(seconds)
            self.records.refused.discard(key)

    async def resend_delivery(self, number: float) -> None:
        """An admin sends a delivery again that failed, if there is one."""
        rows = self.database.rows(DELIVERIES)
        if failed := [row for row in rows if row["state"] in ("failed", "dead")]:
            row = failed[int(number) % len(failed)]
            key = (row["event_id"], row["destination"])
            async with self._admin_transaction() as transaction:
                await transaction.lock(DELIVERIES, key)
                row = transaction.get(DELIVERIES, key) or row
                if row["state"] in ("failed", "dead"):
                    again = {"state": "pending", "retries": 0, "next_attempt_at": transaction.now}
                    put_delivery(transaction, row | again)

    async def _enable(self, name: str) -> None:
        is_enabled = False
        while not is_enabled:
            async with self._admin_transaction() as transaction:
                await transaction.lock(DESTINATIONS, (name,))
                if row := transaction.get(DESTINATIONS, (name,)):
                    ended = dict.fromkeys(("disabled_at", "disabled_reason", "paused_until", "paused_since"))
                    enabled = row | ended | {"failures": 0, "next_send_at": transaction.now}
                    transaction.put(DESTINATIONS, (name,), enabled)
                is_enabled = transaction.active

    @asynccontextmanager
    async def _admin_transaction(self) -> AsyncIterator[Transaction]:
        """Run the body in a transaction of the admin service. If the database fails, nothing is changed."""
        await self.database.answering()
        transaction: Transaction = self.database.begin()
        try:
            async with asyncio.timeout(ADMIN_SECONDS):
                yield transaction
        except (TimeoutError, asyncpg.DeadlockDetectedError):
            return  # the admin sees an error
        else:
            if transaction.active:
                transaction.commit()
        finally:
            transaction.end()

    def _published(self, number: float) -> LeadReceived | None:
        leads: list[LeadReceived] = self.records.leads
        return leads[int(number) % len(leads)] if leads else None


def stored(lead: LeadReceived) -> dict[str, Any]:
    """Return a lead's row, as the persister stores it."""
    row = {name: getattr(lead, name) for name in _LEAD_COLUMNS}
    return row | {
        "id": lead.lead_id,
        "status": LeadStatus.RECEIVED,
        "assignee": None,
        "created_at_utc": lead.occurred_at,
        "body_sha256": lead.body_sha256,
    }


def draw_receiver_fault(rng: Random, at: float) -> Event:
    """Return one fault of the deliveries."""
    short, long = seconds_between(rng, 0.2, 20), seconds_between(rng, 3, 90)
    receiver, way = rng.randrange(len(_NAMES)), rng.randrange(len(FAILURES))
    silent = FAILURES.index(rng.choice(WITHOUT_REPLY))
    lead, change = rng.randrange(100), rng.randrange(len(CHANGES))
    return rng.choice(
        (
            Event(at, "stop_receiver", (receiver, short)),
            Event(at, "stop_receiver", (receiver, long)),
            Event(at, "fail_receiver", (receiver, way, short)),
            Event(at, "fail_receiver", (receiver, way, long)),
            Event(at, "fail_receiver", (receiver, way, long)),
            Event(at, "fail_receiver", (receiver, silent, short)),
            Event(at, "forget_name", (receiver, short)),
            Event(at, "refuse_outcome", (lead, short)),
            Event(at, "slow_database", (short, rng.choice((20.0, 200.0)))),
            Event(at, "change_lead", (lead, change)),
            Event(at, "change_lead", (lead, CHANGES.index("spam"))),
            Event(at, "erase_lead", (lead,)),
            Event(at, "resend_delivery", (rng.randrange(100),)),
        )
    )

"""The simulated database answers as PostgreSQL does: the store of webhooks runs the same cases on both."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest

from contracts import topics
from contracts.lead_events import STATUS_CHANGED, LeadChanged
from contracts.leads import LeadReceived, LeadStatus
from runtime.database.erasure import erase_lead
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool, transaction
from runtime.settings import Postgres
from runtime.sites.file import read_sites
from services.webhooks.attempts import Claim, NextState
from services.webhooks.destinations import Destinations
from services.webhooks.events import events_of_change, events_of_lead
from services.webhooks.outcome import Outcome, Result
from services.webhooks.store import Store
from tests.schedules.database.lead_event_queries import DELIVERIES, EVENTS, erase
from tests.schedules.database.persister_queries import LEADS
from tests.schedules.database.pool import Opener
from tests.schedules.database.server import Database
from tests.schedules.database.webhooks_queries import webhooks_statements
from tests.schedules.simulation.event_loop import ENVIRONMENT, VirtualLoop
from tests.schedules.simulation.network import Network
from tests.schedules.simulation.run import run_virtual
from tests.schedules.stage import POSTGRES
from tests.schedules.webhooks.faults import stored
from tests.schedules.webhooks.receivers import SECRET, SECRET_VARIABLE, SITES_FILE
from tests.support.factories import lead
from tests.support.services.admin import add_leads

on_both = pytest.mark.parametrize("kind", ["simulated", "postgresql"])
NO_GAP: Final = timedelta(0)
DELIVERED: Final = NextState("delivered", 0), Outcome(Result.DELIVERED, 200)
FAILED: Final = (
    NextState("failed", 1, timedelta(hours=1)),
    Outcome(Result.FAILED, 500, reason="destination answered 500"),
)
DEAD: Final = NextState("dead", 3), FAILED[1]
GONE: Final = (
    NextState("failed", 0, timedelta(0)),
    Outcome(Result.GONE, 410, reason="destination answered 410"),
)
LIMITED: Final = (
    NextState("failed", 0, timedelta(0)),
    Outcome(Result.RATE_LIMITED, 429, reason="destination answered 429", retry_after=timedelta(hours=1)),
)
ROWS: Final = (
    "SELECT e.type, d.destination, d.state, d.attempts, d.retries, d.reason, e.body IS NULL AS is_empty,"
    " e.delivery_count FROM webhook_delivery d JOIN webhook_event e ON e.id = d.event_id"
)


def record(of: LeadReceived, offset: int) -> Any:
    return SimpleNamespace(
        topic=topics.RECEIVED.name, partition=0, offset=offset, timestamp=1, key=b"k", headers=()
    )


class Parts:
    """The stores of two processes, on either database. The leases of the second are over at once."""

    def __init__(self, pool: Any, database: Database | None, db: Any) -> None:
        self.pool, self.ledger, self._database, self._db = pool, Ledger("webhooks"), database, db
        self.destinations = Destinations(read_sites(SITES_FILE), {SECRET_VARIABLE: SECRET})
        self.store, self.late_store = (
            Store(pool, self.ledger, timedelta(seconds=seconds), Random(1)) for seconds in (30, -1)
        )
        self._offset = 0

    async def prepare(self) -> None:
        await self.store.add_destinations(self.destinations.by_name)
        async with transaction(self.pool) as connection:
            await self.ledger.open_epoch(connection, (topics.RECEIVED.name, 0), 1, 0)

    async def save(self, *leads: LeadReceived, changes: Sequence[LeadChanged] = ()) -> bool:
        records = [record(each, self._offset + number) for number, each in enumerate(leads)]
        self._offset += len(records)
        events = [event for each in leads for event in events_of_lead(each, self.destinations)]
        plan = partial(_plan, self.destinations)
        return await self.store.save(records, events, changes, plan, [], [])

    async def add_row(self, of: LeadReceived, status: str) -> None:
        if self._database is None:
            await add_leads(self._db, [of], status)
            return
        own = self._database.begin()
        own.put(LEADS, (of.lead_id,), stored(of) | {"status": status})
        own.commit()

    async def erase(self, of: LeadReceived) -> None:
        if self._database is None:
            async with transaction(self.pool) as connection:
                await erase_lead(connection, of.lead_id, "ann")
            return
        own = self._database.begin()
        await erase(own, of.lead_id)
        own.commit()

    async def rows(self) -> list[tuple[Any, ...]]:
        """Return the deliveries, in a fixed order."""
        if self._database is None:
            return sorted(tuple(row) for row in await self._db.fetch(ROWS))
        found = list[tuple[Any, ...]]()
        for row in self._database.rows(DELIVERIES):
            event = self._database.table(EVENTS)[row["event_id"],]
            about = row["state"], row["attempts"], row["retries"], row["reason"]
            count = event["body"] is None, event["delivery_count"]
            found.append((event["type"], row["destination"], *about, *count))
        return sorted(found)

    async def claim(self, name: str = "crm", *, late: bool = False, gap: timedelta = NO_GAP) -> list[Claim]:
        return await (self.late_store if late else self.store).claim(name, 8, gap)

    async def states(self, name: str = "crm") -> list[str]:
        return [row[2] for row in await self.rows() if row[1] == name]


def _plan(destinations: Destinations, change: LeadChanged, row: Any, known: Any) -> Any:
    return events_of_change(change, row, known, destinations)


def change_of(of: LeadReceived, old: str, new: str) -> LeadChanged:
    return LeadChanged(
        event_id=uuid4(),
        occurred_at=of.occurred_at,
        type=STATUS_CHANGED,
        lead_id=of.lead_id,
        site=of.site,
        from_status=LeadStatus(old),
        to_status=LeadStatus(new),
    )


Case = Callable[[Parts], Awaitable[None]]


def run_on(kind: str, request: pytest.FixtureRequest, case: Case) -> None:
    """Run a case on a simulated database in virtual time, or on the real one."""
    os.environ[SECRET_VARIABLE] = SECRET

    async def run(pool: Any, database: Database | None, db: Any) -> None:
        parts = Parts(pool, database, db)
        await parts.prepare()
        await case(parts)

    async def simulated(_: VirtualLoop, __: Network) -> None:
        database = Database()
        pool = Opener(database, webhooks_statements(), Random(1)).of(ENVIRONMENT, POSTGRES)
        await run(pool, database, None)

    async def real(settings: Postgres) -> None:
        db = await asyncpg.connect(settings.url.get_secret_value())
        try:
            async with open_pool(settings, "test") as pool:
                await run(pool, None, db)
        finally:
            await db.close()

    if kind == "simulated":
        run_virtual(1, simulated)
    else:
        asyncio.run(real(request.getfixturevalue("postgres")))


@on_both
def test_deliveries_pass_their_states(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        assert await parts.save(lead(), lead(), lead())
        assert await parts.store.due_destinations(["api", "chat", "crm", "new"]) == ["api", "chat", "crm"]
        claims = await parts.claim()
        assert [(claim.retries, claim.is_interrupted) for claim in claims] == [(0, False)] * 3
        assert await parts.claim() == []
        for claim, outcome in zip(claims, (DELIVERED, FAILED, DEAD), strict=True):
            assert await parts.store.record_outcome(claim, *outcome)
            assert not await parts.store.record_outcome(claim, *outcome)
        assert sorted(await parts.states()) == ["dead", "delivered", "failed"]
        assert await parts.store.due_destinations(["crm"]) == []
        (chat,) = await parts.claim("chat", gap=timedelta(hours=1))
        assert await parts.claim("chat", gap=timedelta(hours=1)) == []
        assert await parts.store.record_outcome(chat, *GONE)
        assert await parts.store.due_destinations(["chat"]) == []

    run_on(kind, request, case)


@on_both
def test_eight_requests_at_most_and_expired_leases_first(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        await parts.save(*(lead() for _ in range(12)))
        both = await asyncio.gather(parts.claim(), Parts.claim(parts))
        assert sorted(len(each) for each in both) == [0, 8]
        assert len(await parts.claim("api", late=True)) == 8
        late = await parts.claim("api", late=True)
        assert [(claim.retries, claim.is_interrupted) for claim in late] == [(1, True)] * 8
        current = await parts.claim("api")
        assert not await parts.store.record_outcome(late[0], *DELIVERED)
        same = next(each for each in current if each.event_id == late[0].event_id)
        assert same.retries == 2
        assert await parts.store.record_outcome(same, *DELIVERED)
        assert sorted(await parts.states("api")) == ["delivered", *["pending"] * 4, *["sending"] * 7]

    run_on(kind, request, case)


@on_both
def test_failures_pause_and_a_success_ends_the_pause(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        await parts.save(*(lead() for _ in range(12)))
        claims = await parts.claim()
        for claim in claims[:4]:
            await parts.store.record_outcome(claim, *FAILED)
        assert await parts.store.due_destinations(["crm"]) == ["crm"]
        await parts.store.record_outcome(claims[4], *FAILED)
        assert await parts.store.due_destinations(["crm"]) == []
        assert await parts.claim() == []
        await parts.store.record_outcome(claims[5], *DELIVERED)  # claimed before the pause
        assert await parts.claim() == []
        await parts.store.end_pauses(["crm"])
        (again, *_) = await parts.claim()
        await parts.store.record_outcome(again, *LIMITED)
        assert await parts.claim() == []
        skipped = Outcome(Result.SKIPPED, reason="erased")
        await parts.store.record_outcome(claims[6], NextState("suppressed", 0), skipped)
        invalid = Outcome(Result.INVALID, reason="template failed")
        await parts.store.record_outcome(claims[7], FAILED[0], invalid)
        assert await parts.claim() == []  # neither was claimed in the pause

    run_on(kind, request, case)


@on_both
def test_changes_follow_the_lead_and_spam_is_heard_of(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        first, spam, late = lead(), lead(), lead()
        await parts.add_row(first, "contacted")
        await parts.add_row(spam, "spam")
        await parts.add_row(late, "spam")
        await parts.save(changes=[change_of(first, "received", "contacted")])
        assert len(await parts.rows()) == 4  # both, for the two destinations that want changes
        await parts.save(first, first)
        assert len(await parts.rows()) == 5
        await parts.save(spam)  # made from a record: left out
        await parts.save(changes=[change_of(spam, "received", "spam")])  # nobody knows the lead
        assert len(await parts.rows()) == 5
        await parts.save(changes=[change_of(late, "spam", "received")])
        assert len(await parts.rows()) == 5  # the row still says spam
        claims = await parts.claim()
        assert [claim.type for claim in claims] == ["lead.received"]
        await parts.store.record_outcome(claims[0], *DELIVERED)
        assert [claim.type for claim in await parts.claim()] == [STATUS_CHANGED]

    run_on(kind, request, case)


@on_both
def test_erasure_empties_events_and_tells_who_may_know(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        known, unknown = lead(), lead()
        for each in (known, unknown):
            await parts.add_row(each, "received")
        await parts.save(known)
        (claim,) = await parts.claim()
        (chat,) = await parts.claim("chat")
        await parts.store.record_outcome(chat, *FAILED)
        await parts.save(unknown)
        await parts.erase(known)
        await parts.erase(unknown)
        before = await parts.rows()
        assert [row[0] for row in before].count("lead.erased") == 2  # crm and chat
        assert [row[2] for row in before].count("suppressed") == 5
        await parts.save(known)
        assert await parts.rows() == before
        assert await parts.claim("chat") != []
        assert await parts.claim() == []  # its lead is being sent
        assert await parts.store.record_outcome(claim, *FAILED)
        (erasure,) = await parts.claim()
        assert (erasure.type, erasure.body is None) == ("lead.erased", False)
        crm = [row[:6] for row in await parts.rows() if row[1] == "crm" and row[3]]
        assert ("lead.received", "crm", "suppressed", 1, 1, "erased") in crm

    run_on(kind, request, case)

"""Outcomes of attempts that end at the same time share a transaction, and none holds up another."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from runtime.database.erasure import erase_lead
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool, transaction
from runtime.failures import DependencyRefused, DependencyUnavailable
from runtime.settings import Postgres
from runtime.workarounds.asyncpg import CANCEL_SECONDS
from services.webhooks import outcome_writer
from services.webhooks.app import LEASE_MARGIN
from services.webhooks.attempts import Claim, NextState
from services.webhooks.outcome import Outcome, Result
from services.webhooks.store import Store
from tests.support.factories import lead
from tests.support.services.admin import add_leads
from tests.support.services.deliveries import add_delivery
from tests.support.wait import eventually

DONE: Final = NextState("delivered", 0), Outcome(Result.DELIVERED, 200, response="thank you")
FAILED: Final = (
    NextState("failed", 1, timedelta(seconds=5)),
    Outcome(Result.FAILED, 500, reason="destination answered 500"),
)
STATES: Final = "SELECT state, count(*)::int FROM webhook_delivery GROUP BY 1"


@asynccontextmanager
async def claimed(
    postgres: Postgres, db: Any, count: int, lease_seconds: float = 30, lead_id: UUID | None = None
) -> AsyncIterator[tuple[Store, list[Claim]]]:
    """Yield a store that has claimed this many deliveries, of `lead_id` or of a lead each."""
    await db.execute("INSERT INTO webhook_destination (name) VALUES ('crm')")
    for number in range(count):
        # Deliveries of one lead are sent one after the other, unless the earlier one is dead.
        event = "lead.updated" if lead_id and number else "lead.received"
        await add_delivery(db, "crm", "pending", lead_id, event)
    async with open_pool(postgres, "a") as pool:
        store = Store(pool, Ledger("webhooks"), timedelta(seconds=lease_seconds))
        yield store, await store.claim("crm", count, timedelta(0))


async def test_outcomes_of_the_same_moment_share_a_transaction(postgres: Postgres, db: Any) -> None:
    async with claimed(postgres, db, 8) as (store, claims):
        assert all(await asyncio.gather(*(store.record_outcome(claim, *DONE) for claim in claims)))
    assert dict(await db.fetch(STATES)) == {"delivered": 8}
    assert await db.fetchval("SELECT count(DISTINCT xmin::text) FROM webhook_delivery") == 1
    assert await db.fetchval("SELECT count(*) FROM webhook_delivery WHERE response = 'thank you'") == 8


async def test_an_erasure_holds_up_only_the_outcome_of_its_own_lead(postgres: Postgres, db: Any) -> None:
    async with claimed(postgres, db, 3) as (store, claims):
        first = claims[0]
        async with db.transaction():
            await db.execute("SELECT FROM webhook_event WHERE id = $1 FOR UPDATE", first.event_id)
            recording = [asyncio.create_task(store.record_outcome(claim, *FAILED)) for claim in claims]
            assert all(await asyncio.wait_for(asyncio.gather(*recording[1:]), 5))
            assert not recording[0].done()
            await db.execute("UPDATE webhook_event SET body = NULL WHERE id = $1", first.event_id)
        assert await recording[0]
    assert dict(await db.fetch(STATES)) == {"failed": 2, "suppressed": 1}
    row = await db.fetchrow("SELECT state, reason FROM webhook_delivery WHERE event_id = $1", first.event_id)
    assert tuple(row) == ("suppressed", "erased")


async def test_of_two_claims_of_a_delivery_only_the_later_is_recorded(postgres: Postgres, db: Any) -> None:
    async with claimed(postgres, db, 1, lease_seconds=0.1) as (store, (late,)):

        async def claim_again() -> list[Claim]:
            return await store.claim("crm", 1, timedelta(0))

        (current,) = await eventually(claim_again, until=bool)
        of_late, of_current = await asyncio.gather(
            store.record_outcome(late, *FAILED), store.record_outcome(current, *DONE)
        )
        assert (of_late, of_current) == (False, True)
    assert dict(await db.fetch(STATES)) == {"delivered": 1}
    assert await db.fetchval("SELECT failures FROM webhook_destination") == 0


async def test_a_success_is_written_once_a_second_unless_it_ends_failures(
    postgres: Postgres, db: Any
) -> None:
    version = "SELECT xmin::text FROM webhook_destination"
    async with claimed(postgres, db, 5) as (store, claims):
        # A success of just now, however slow this test is.
        await db.execute("UPDATE webhook_destination SET last_success_at = now() + interval '1 hour'")
        first = await db.fetchval(version)
        await store.record_outcome(claims[1], *DONE)
        assert await db.fetchval(version) == first
        await db.execute("UPDATE webhook_destination SET last_success_at = NULL")
        await store.record_outcome(claims[0], *DONE)
        assert await db.fetchval("SELECT last_success_at FROM webhook_destination")
        await store.record_outcome(claims[2], *FAILED)
        assert await db.fetchval("SELECT failures FROM webhook_destination") == 1
        await store.record_outcome(claims[3], *DONE)
        assert await db.fetchval("SELECT failures FROM webhook_destination") == 0
        await db.execute("UPDATE webhook_destination SET last_success_at = now() - interval '2 seconds'")
        await store.record_outcome(claims[4], *DONE)
    assert await db.fetchval("SELECT last_success_at > now() - interval '2 seconds' FROM webhook_destination")


async def test_an_outcome_that_the_database_refuses_fails_alone(postgres: Postgres, db: Any) -> None:
    async with claimed(postgres, db, 3) as (store, claims):
        await db.execute(
            f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'refused'; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON webhook_delivery FOR EACH ROW
            WHEN (OLD.event_id = '{claims[1].event_id}') EXECUTE FUNCTION refuse();
            """
        )
        writing = (store.record_outcome(claim, *DONE) for claim in claims)
        results = await asyncio.gather(*writing, return_exceptions=True)
    assert (results[0], results[2]) == (True, True)
    assert isinstance(results[1], DependencyRefused)
    assert dict(await db.fetch(STATES)) == {"delivered": 2, "sending": 1}


async def test_a_write_that_hangs_ends_before_the_lease(
    postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_writes = 2 * (outcome_writer.WRITE_SECONDS + CANCEL_SECONDS)
    assert two_writes + 1 < LEASE_MARGIN.total_seconds(), "time for a third attempt"
    monkeypatch.setattr(outcome_writer, "WRITE_SECONDS", 0.5)
    async with claimed(postgres, db, 2) as (store, claims):
        started = time.monotonic()
        async with db.transaction():
            await db.execute("SELECT FROM webhook_destination FOR UPDATE")
            with pytest.raises(DependencyUnavailable):
                await store.record_outcome(claims[0], *FAILED)
        assert time.monotonic() - started < 10, "not the 20 s of a statement"
        monkeypatch.undo()  # A new connection may take longer than 0.5 s on a busy machine.
        assert all(await asyncio.gather(*(store.record_outcome(claim, *FAILED) for claim in claims)))
    assert dict(await db.fetch(STATES)) == {"failed": 2}


async def test_an_erasure_and_a_group_with_two_events_of_its_lead_both_end(
    postgres: Postgres, db: Any
) -> None:
    lead_id = uuid4()
    await add_leads(db, [lead(lead_id=lead_id)])
    async with claimed(postgres, db, 2, lead_id=lead_id) as (store, claims):
        # The second one waits for the first, as deliveries of a lead do.
        (second,) = await db.fetch(
            "UPDATE webhook_delivery SET state = 'sending', owner = $2, attempts = 1,"
            " lease_until = now() + interval '30 s' WHERE event_id <> $1 RETURNING event_id",
            claims[0].event_id,
            claims[0].owner,
        )
        claims.append(replace(claims[0], event_id=second["event_id"], type="lead.updated"))
        async with open_pool(postgres, "eraser") as pool, transaction(pool) as eraser:
            assert await erase_lead(eraser, lead_id, "ann")
            recording = [asyncio.create_task(store.record_outcome(claim, *FAILED)) for claim in claims]
            await eventually(
                lambda: db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"),
                what="the outcomes that wait for the erasure",
            )
            assert not any(each.done() for each in recording)
        assert await asyncio.gather(*recording) == [True, True]
    ids = [claim.event_id for claim in claims]
    rows = await db.fetch(
        "SELECT state, reason, response FROM webhook_delivery WHERE event_id = ANY($1::uuid[])", ids
    )
    assert [tuple(row) for row in rows] == [("suppressed", "erased", None)] * 2

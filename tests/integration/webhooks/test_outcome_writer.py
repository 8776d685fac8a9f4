"""Outcomes of attempts that end at the same time share a transaction, and none holds up another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.webhooks.attempts import Claim, NextState
from services.webhooks.outcome import Outcome, Result
from services.webhooks.store import Store
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
    postgres: Postgres, db: Any, count: int, lease_seconds: float = 30
) -> AsyncIterator[tuple[Store, list[Claim]]]:
    """Yield a store that has claimed this many deliveries."""
    await db.execute("INSERT INTO webhook_destination (name) VALUES ('crm')")
    for _ in range(count):
        await add_delivery(db, "crm", "pending")
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
        await store.record_outcome(claims[0], *DONE)
        first = await db.fetchval(version)
        await store.record_outcome(claims[1], *DONE)
        assert await db.fetchval(version) == first
        await store.record_outcome(claims[2], *FAILED)
        assert await db.fetchval("SELECT failures FROM webhook_destination") == 1
        await store.record_outcome(claims[3], *DONE)
        assert await db.fetchval("SELECT failures FROM webhook_destination") == 0
        await db.execute("UPDATE webhook_destination SET last_success_at = now() - interval '2 seconds'")
        await store.record_outcome(claims[4], *DONE)
    assert await db.fetchval("SELECT last_success_at > now() - interval '2 seconds' FROM webhook_destination")

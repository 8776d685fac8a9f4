"""The simulated database answers as PostgreSQL does: the persister's store runs the same cases on both."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.leads import LeadReceived
from runtime.database.circuit_breaker import CircuitBreaker
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool, transaction
from runtime.failures import DependencyUnavailable, RewindRequired
from runtime.settings import Postgres
from services.persister.batch import decode_in_parts
from services.persister.store import BatchOutcome, Store
from tests.schedules.database.persister_queries import persister_statements
from tests.schedules.database.pool import Opener
from tests.schedules.database.server import Database
from tests.schedules.simulation.event_loop import ENVIRONMENT, VirtualLoop
from tests.schedules.simulation.network import Network
from tests.schedules.simulation.run import run_virtual
from tests.schedules.stage import POSTGRES
from tests.support.factories import lead

on_both = pytest.mark.parametrize("kind", ["simulated", "postgresql"])
PLACE = ("leads.received.v1", 0)


class Parts:
    """A store with its ledger, on either database."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.ledger = Ledger("persister")
        self.store = Store(pool, self.ledger)

    async def open_epoch(self, epoch: int = 1, base: int = 0) -> None:
        async with transaction(self.pool) as connection:
            await self.ledger.open_epoch(connection, PLACE, epoch, base)

    async def save(self, first: int, *leads: LeadReceived | bytes) -> BatchOutcome:
        records: Any = [
            SimpleNamespace(
                topic=PLACE[0],
                partition=PLACE[1],
                offset=first + number,
                timestamp=1000 + first + number,
                key=b"k",
                value=each if isinstance(each, bytes) else each.model_dump_json().encode(),
                headers=(),
            )
            for number, each in enumerate(leads)
        ]
        return await self.store.save(decode_in_parts(records), records)

    async def next_offset(self) -> tuple[int, int]:
        async with transaction(self.pool) as connection:
            entry = (await self.ledger.read(connection, [PLACE]))[PLACE]
        return entry.epoch, entry.next_offset


Case = Callable[[Parts], Awaitable[None]]


def run_on(kind: str, request: pytest.FixtureRequest, case: Case) -> None:
    """Run a case on a simulated database in virtual time, or on the real one."""
    if kind == "simulated":

        async def simulated(loop: VirtualLoop, _: Network) -> None:
            opener = Opener(Database(), persister_statements(), Random(1))
            del loop
            await case(Parts(opener.of(ENVIRONMENT, POSTGRES)))

        run_virtual(1, simulated)
        return
    settings: Postgres = request.getfixturevalue("postgres")

    async def real() -> None:
        async with open_pool(settings, "test") as pool:
            await case(Parts(pool))

    asyncio.run(real())


@on_both
def test_batches_of_every_kind_move_the_ledger(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        await parts.open_epoch()
        known = lead()
        await parts.save(0, known, lead())  # one statement
        other = known.model_copy(update={"body_sha256": "0" * 64})
        outcome = await parts.save(2, known, lead(), b"{", other)
        assert [each.offset for each in outcome.undecodable] == [4]
        assert [each.offset for each in outcome.conflicts] == [5]
        assert await parts.next_offset() == (1, 6)
        await parts.save(0, known, lead())  # redelivered: not counted again
        assert await parts.next_offset() == (1, 6)

    run_on(kind, request, case)


@on_both
def test_batch_beyond_the_ledger_requires_a_rewind(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        with pytest.raises(RewindRequired) as missing:
            await parts.save(0, lead())
        assert missing.value.offsets == {PLACE: 0}
        await parts.open_epoch()
        await parts.save(0, lead())
        with pytest.raises(RewindRequired) as gap:
            await parts.save(5, lead())
        assert gap.value.offsets == {PLACE: 1}

    run_on(kind, request, case)


@on_both
def test_another_log_and_expired_records_are_counted(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        await parts.open_epoch()
        await parts.save(0, lead())
        await parts.open_epoch(2, base=7)
        await parts.open_epoch(2, base=9)  # another process was first
        assert await parts.next_offset() == (2, 7)
        async with transaction(parts.pool) as connection:
            entry = (await parts.ledger.read(connection, [PLACE]))[PLACE]
            await parts.ledger.count_expired(connection, PLACE, entry, 10)
            await parts.ledger.count_expired(connection, PLACE, entry, 12)  # it changed meanwhile
        assert await parts.next_offset() == (2, 10)

    run_on(kind, request, case)


@on_both
def test_two_members_store_a_lead_once_and_one_waits(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        await parts.open_epoch()
        twice, other = lead(), Parts(parts.pool)
        await asyncio.gather(parts.save(0, twice, lead()), other.save(0, twice, lead()))
        assert await parts.next_offset() == (1, 2)

    run_on(kind, request, case)


@on_both
def test_breaker_is_open_for_every_member(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        first, second = CircuitBreaker("persister", parts.pool), CircuitBreaker("persister", parts.pool)
        await first.check()
        first.count(dead=100)
        for breaker in (first, second):
            with pytest.raises(DependencyUnavailable):
                await breaker.check()

    run_on(kind, request, case)


@on_both
def test_transaction_that_fails_leaves_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        await parts.open_epoch()

        async def fail() -> None:
            async with transaction(parts.pool) as connection:
                await parts.ledger.open_epoch(connection, ("other", 0), 1, 5)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with transaction(parts.pool) as connection:
            assert await parts.ledger.read(connection, [("other", 0)]) == {}

    run_on(kind, request, case)

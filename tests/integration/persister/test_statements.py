"""A batch of new leads is stored and counted by one statement, and any other batch as before."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord

from contracts import headers
from contracts.leads import LeadReceived
from runtime.database.ledger import Ledger, fingerprint
from runtime.database.postgres import open_pool, transaction
from runtime.failures import RewindRequired
from runtime.kafka.handler import Record
from runtime.settings import Postgres
from services.persister.batch import decode_in_parts
from services.persister.store import NO_COUNTS, SQL, BatchOutcome, Store
from tests.support.factories import lead
from tests.support.services.persister import ledger_sums
from tests.support.wait import eventually

TOPIC: Final = "leads.received.v1"
NOTHING: Final = {"stored": 0, "duplicate": 0, "parked": 0, "undecodable": 0, "missing": 0}
# Who waits for a transaction of another process.
WAITING: Final = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@dataclass(frozen=True)
class OwnStore:
    """A store with one connection, and the statements that it has sent."""

    store: Store
    statements: list[str]

    async def save(self, *records: Record) -> BatchOutcome:
        self.statements.clear()
        outcome = await self.store.save(decode_in_parts(records), records)
        await asyncio.sleep(0)  # asyncpg logs a statement one turn of the loop later
        return outcome


@asynccontextmanager
async def own_store(postgres: Postgres, partitions: int = 1) -> AsyncIterator[OwnStore]:
    """Yield a store, and open the ledger's entries of these partitions at offset 0."""
    ledger, statements = Ledger("persister"), list[str]()
    async with open_pool(postgres.model_copy(update={"pool_max": 1}), "persister") as pool:
        async with transaction(pool) as connection:
            for partition in range(partitions):
                await ledger.open_epoch(connection, (TOPIC, partition), 1, 0)
            connection.add_query_logger(lambda query: statements.append(query.query))
        yield OwnStore(Store(pool, ledger), statements)


def record(
    of: LeadReceived, offset: int, partition: int = 0, with_headers: Sequence[tuple[str, bytes]] = ()
) -> "ConsumerRecord[bytes | None, bytes | None]":
    value, key = of.model_dump_json().encode(), str(of.lead_id).encode()
    now = int(time.time() * 1000)
    return ConsumerRecord(
        TOPIC, partition, offset, now, 0, key, value, 0, len(key), len(value), tuple(with_headers)
    )


async def stored(db: Any) -> tuple[int, int]:
    """Return the number of leads and of audit entries."""
    row = await db.fetchrow(
        "SELECT (SELECT count(*) FROM lead_inbox) leads, (SELECT count(*) FROM audit_log) entries"
    )
    return row["leads"], row["entries"]


async def test_a_batch_of_new_leads_takes_one_statement(postgres: Postgres, db: Any) -> None:
    async with own_store(postgres, partitions=2) as own:
        for first in (0, 4):
            records = [record(lead(), first + place // 2, place % 2) for place in range(8)]
            assert await own.save(*records) == BatchOutcome()
        # The first time, asyncpg reads the types of the parameters before.
        assert own.statements == [SQL.insert_leads.sql]
    assert await stored(db) == (16, 16)
    assert await ledger_sums(db) == NOTHING | {"stored": 16}
    rows = await db.fetch("SELECT next_offset, last_record FROM partition_ledger ORDER BY partition")
    assert [tuple(row) for row in rows] == [(8, fingerprint(each)) for each in records[-2:]]


async def test_a_batch_with_a_known_lead_is_counted_record_by_record(postgres: Postgres, db: Any) -> None:
    known = lead()
    async with own_store(postgres) as own:
        await own.save(record(known, 0))
        other = known.model_copy(update={"body_sha256": "0" * 64})
        outcome = await own.save(record(lead(), 1), record(known, 2), record(other, 3))
        assert [each.offset for each in outcome.conflicts] == [3]
        assert len(own.statements) > 1
    assert await stored(db) == (2, 3)  # with the entry of the conflict
    assert await ledger_sums(db) == NOTHING | {"stored": 2, "duplicate": 1, "parked": 1}


async def test_redelivered_records_are_not_counted_again(postgres: Postgres, db: Any) -> None:
    async with own_store(postgres) as own:
        records = [record(lead(), offset) for offset in range(3)]
        await own.save(*records[:2])
        await own.save(*records)
    assert await stored(db) == (3, 3)
    assert await ledger_sums(db) == NOTHING | {"stored": 3}


@pytest.mark.parametrize("offsets", [(5, 6), (0, 2)])
async def test_a_gap_before_records_is_rewound_and_one_between_is_missing(
    postgres: Postgres, db: Any, offsets: tuple[int, int]
) -> None:
    records = [record(lead(), offset) for offset in offsets]
    async with own_store(postgres) as own:
        if offsets[0]:
            with pytest.raises(RewindRequired) as required:
                await own.save(*records)
            assert required.value.offsets == {(TOPIC, 0): 0}
            assert await stored(db) == (0, 0)
            required.value.confirm()
        await own.save(*records)
    assert await ledger_sums(db) == NOTHING | {"stored": 2, "missing": offsets[1] - 1}


async def test_a_rewind_is_possible_again_after_a_batch_of_new_leads(postgres: Postgres, db: Any) -> None:
    async with own_store(postgres) as own:
        with pytest.raises(RewindRequired) as required:
            await own.save(record(lead(), 1))
        required.value.confirm()
        await own.save(record(lead(), 0))
        await db.execute("UPDATE partition_ledger SET next_offset = 0, stored = 0")  # an older backup
        with pytest.raises(RewindRequired):
            await own.save(record(lead(), 1))


async def test_a_lead_that_another_process_stores_meanwhile_is_a_duplicate(
    postgres: Postgres, db: Any
) -> None:
    same = lead()
    async with own_store(postgres) as own, open_pool(postgres, "other") as pool:
        async with transaction(pool) as other:
            values = {"leads": f"[{same.model_dump_json()}]", "entries": "[]", "limit_reasons": []}
            _ = [each async for each in SQL.insert_leads(other, stage="persister", **values, **NO_COUNTS)]
            saving = asyncio.create_task(own.save(record(lead(), 0), record(same, 1)))
            await eventually(lambda: db.fetchval(WAITING), what="the other transaction's end")
        await saving
    assert await stored(db) == (2, 1)
    assert await ledger_sums(db) == NOTHING | {"stored": 1, "duplicate": 1}


async def test_a_retry_resolves_its_row_of_the_queue(postgres: Postgres, db: Any) -> None:
    queue_id = uuid4()
    async with own_store(postgres) as own:
        retry = ((headers.STAGE, b"persister"), (headers.QUEUE_ID, str(queue_id).encode()))
        outcome = await own.save(record(lead(), 0, with_headers=retry))
    assert outcome.replays == [queue_id]
    assert await ledger_sums(db) == NOTHING | {"stored": 1}

"""Measures what the services write: the persister's and the notifier's batches, erasures and retention."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from aiokafka import ConsumerRecord

from contracts.leads import LeadReceived
from runtime.database.ledger import Ledger
from runtime.sites.model import Sites
from services.admin.store.privacy.erasure import Erasures
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.retention import Retention
from services.flusher.jobs.retention_periods import RetentionPeriods
from services.notifier.store import _SQL as NOTIFIER
from services.persister.batch import decode_in_parts
from services.persister.store import Store
from tests.bench.scale.databases import Lap, Meter
from tests.bench.scale.figures import Figure, median_figure
from tests.support.factories import lead

BATCH: Final = 500
BATCHES: Final = 10
MAILS: Final = 100
# For each batch of stored leads: how many persons are erased, and how many leads by retention.
PERSONS: Final = 4
OLD_LEADS: Final = 20
TOPIC: Final = "leads.received.v1"
# New leads are like others of the database, so that they meet the same parts of the indexes. Ids are hashes,
# so the first ones are leads of any time.
LIKE: Final = """
SELECT site, email, name, phone, company, message, service, locale, source FROM lead_inbox
WHERE status NOT IN ('erased', 'spam') ORDER BY id LIMIT $1
"""
NEXT_OFFSET: Final = """
SELECT max(next_offset) FROM partition_ledger WHERE stage = 'persister' AND topic = $1 AND partition = 0
"""
# The addresses of some persons. Leads are drawn, so an address with many leads is drawn more often.
ADDRESSES: Final = """
SELECT DISTINCT email FROM (
    SELECT email FROM lead_inbox WHERE email <> '' ORDER BY id LIMIT $1) AS found
"""
OLDEST: Final = """
SELECT created_at_utc FROM lead_inbox WHERE status <> 'erased' ORDER BY created_at_utc OFFSET $1 LIMIT 1
"""
FAR: Final = 4000  # days: no lead of the data is that old


async def measure_writes(meter: Meter, batches: int = BATCHES) -> tuple[list[Figure], float]:
    """Store leads and emails, erase persons, and run retention. Each change is committed.

    Returns the figures, and the bytes of the write-ahead log for each stored lead, after a checkpoint.
    """
    stored, log = await _store_all(meter, batches)
    leads = [each for _, batch in stored for each in batch]
    return [
        median_figure("persister", "store a batch of 500 leads", [times for times, _ in stored]),
        median_figure("notifier", "write the three states of 100 emails", await _send(meter, leads)),
        median_figure(
            "erasure", "a lead, by its person's address", await _erase_persons(meter, PERSONS * batches)
        ),
        *await _retain(meter, OLD_LEADS * batches),
    ], log


async def measure_persister(meter: Meter, batches: int = BATCHES) -> tuple[Figure, float]:
    """Store leads only. Returns the figure of a batch, and the bytes of the write-ahead log for each lead."""
    stored, log = await _store_all(meter, batches)
    return median_figure("persister", "store a batch of 500 leads", [times for times, _ in stored]), log


async def _store_all(
    meter: Meter, batches: int
) -> tuple[list[tuple[tuple[float, float], Sequence[LeadReceived]]], float]:
    await meter.pool.execute("CHECKPOINT")
    before = await meter.pool.fetchval("SELECT pg_current_wal_insert_lsn()")
    stored = [each async for each in _store(meter, batches)]
    log = await meter.pool.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)::bigint", before)
    return stored, log / sum(len(batch) for _, batch in stored)


async def _store(
    meter: Meter, batches: int
) -> AsyncIterator[tuple[tuple[float, float], Sequence[LeadReceived]]]:
    rows = await meter.pool.fetch(LIKE, BATCH * batches)
    offset = await meter.pool.fetchval(NEXT_OFFSET, TOPIC)
    leads = [lead(**dict(row)) for row in rows]
    store = Store(meter.pool, Ledger("persister"))
    for batch in _groups(leads, BATCH):
        records = [lead_record(each, offset + place) for place, each in enumerate(batch)]
        offset += len(batch)
        lap = Lap(meter)
        await store.save(decode_in_parts(records), records)
        yield lap.end(), batch


def _groups(leads: Sequence[LeadReceived], number: int) -> Iterator[Sequence[LeadReceived]]:
    for first in range(0, len(leads), number):
        yield leads[first : first + number]


def lead_record(each: LeadReceived, offset: int) -> "ConsumerRecord[bytes | None, bytes | None]":
    """Return the record of a lead at an offset of the first partition."""
    value, key = each.model_dump_json().encode(), str(each.lead_id).encode()
    now = int(time.time() * 1000)
    return ConsumerRecord(TOPIC, 0, offset, now, 0, key, value, 0, len(key), len(value), ())


async def _send(meter: Meter, leads: Sequence[LeadReceived]) -> list[tuple[float, float]]:
    """Write the three states of each email: reserved, sending, sent."""
    owner, times = uuid4(), []
    for group in _groups(leads, MAILS // 2):
        mails = [(each, kind) for each in group for kind in ("welcome", "admin_alert")]
        lap = Lap(meter)
        await write_states(meter, owner, mails)
        times.append(lap.end())
    return times


async def write_states(meter: Meter, owner: UUID, mails: Sequence[tuple[LeadReceived, str]]) -> None:
    """Write the three states of emails, each a lead and a kind: reserved, sending, sent."""
    await _reserve(meter, owner, mails)
    await _move(meter, owner, mails, "sending")
    await _move(meter, owner, mails, "sent")


async def _reserve(meter: Meter, owner: Any, mails: Sequence[tuple[LeadReceived, str]]) -> None:
    rows = NOTIFIER.insert_rows(
        meter.pool,
        owner=owner,
        lease_seconds=300,
        lead_ids=[each.lead_id for each, _ in mails],
        kinds=[kind for _, kind in mails],
        recipients=[each.email for each, _ in mails],
        mailboxes=[each.email for each, _ in mails],
        message_ids=[f"<{kind}.{each.lead_id}@fastcore.example>" for each, kind in mails],
        reasons=[None for _ in mails],
        collected=[False for _ in mails],
        record_ids=[uuid4() for _ in mails],
        sites=[each.site for each, _ in mails],
        received_ats=[each.occurred_at for each, _ in mails],
    )
    assert [row async for row in rows]


async def _move(meter: Meter, owner: Any, mails: Sequence[tuple[LeadReceived, str]], state: str) -> None:
    none = [None for _ in mails]
    rows = NOTIFIER.move_mails(
        meter.pool,
        owner=owner,
        lease_seconds=300,
        lead_ids=[each.lead_id for each, _ in mails],
        kinds=[kind for _, kind in mails],
        states=[state for _ in mails],
        reasons=none,
        codes=[250 for _ in mails],
        enhanced=none,
        answers=["2.0.0 Ok: queued" for _ in mails],
        quotes=none,
        tries=[1 for _ in mails],
        record_ids=[uuid4() for _ in mails],
        events=["email.sent" for _ in mails],
        event_ids=[uuid4() for _ in mails],
        request_ids=[each.request_id for each, _ in mails],
        queue_ids=none,
    )
    assert len([row async for row in rows]) == len(mails)


async def _erase_persons(meter: Meter, persons: int) -> list[tuple[float, float]]:
    """Erase the leads of some addresses. The times are for each lead: a person may have many."""
    erasures, times = Erasures(meter.pool), []
    for row in await meter.pool.fetch(ADDRESSES, persons):
        lap = Lap(meter)
        person = await erasures.erase_person(row["email"], "ann")
        times.append(lap.end(max(1, len(person.erased))))
    return times


async def _retain(meter: Meter, leads: int) -> list[Figure]:
    """Erase the oldest leads by retention, then run it again when no lead is old."""
    old = await meter.pool.fetchval(OLDEST, leads) + timedelta(days=FAR)

    def retention() -> Retention:
        runs = JobRuns(meter.pool, lambda: datetime.now(UTC))
        return Retention(meter.pool, runs, lambda: old, RetentionPeriods(FAR, Sites()))

    lap = Lap(meter)
    report = await retention()._erase_old()
    busy = lap.end(max(1, int(report.details["erased"])))
    idle = []
    for _ in range(3):
        lap = Lap(meter)
        await retention()._erase_old()
        idle.append(lap.end())
    return [
        median_figure("retention", "erase a lead", [busy]),
        median_figure("retention", "a run without old leads", idle),
    ]

"""Compares the persister with the limit of PostgreSQL (COPY) and with a JDBC sink."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

from contracts.leads import LeadReceived
from tests.bench.environment import BenchEnvironment
from tests.bench.inputs.backlog import Backlog, backlog
from tests.bench.measure import Curve, Limit, Result, Run, in_turns
from tests.bench.placement import running_on
from tests.bench.references import jdbc_sink
from tests.support.stack import Database

NAME: Final = "persister draining a backlog, leads a second"
SINK: Final = "Debezium's JDBC sink"
COPY_BATCH: Final = 2_000
Rows = list[tuple[Any, ...]]
BATCHES: Final = (100, 500, 2_000)
LEAD: Final = (
    "id", "request_id", "site", "email", "service", "name", "phone", "company", "message", "consent",
    "consent_text", "consent_version", "locale", "submitted_at", "source", "extra", "body_sha256",
    "created_at_utc",
)  # fmt: skip
ENTRY: Final = (
    "event_id", "event", "actor", "status_code", "details_json", "lead_id", "request_id", "created_at_utc",
)  # fmt: skip


def size(bench: BenchEnvironment) -> int:
    """Return the number of leads in the backlog."""
    return 20_000 if bench.quick else 40_000


async def compare(bench: BenchEnvironment) -> list[Result]:
    """Run the persister, COPY and the sink in turns, each time with a new database."""
    async with backlog(bench, size(bench)) as waiting:
        batches = [_rows(waiting, first) for first in range(0, len(waiting.records), COPY_BATCH)]
        runs: dict[str, Run] = {"ours": waiting.drained, "copy": lambda: _copied(bench, batches)}
        if not bench.quick:  # so few records would only measure a cold JVM
            topic = await waiting.enveloped(jdbc_sink.envelope)
            runs["sink"] = lambda: jdbc_sink.drained(bench, topic, len(waiting.records))
        bench.say(f"persister: drained in turns with {', '.join(runs.keys() - {'ours'})}")
        rates = await in_turns(runs, bench.turns)
        if bench.draws:
            bench.curves.append(await _by_batch(waiting))
    results = [
        Result(NAME, "asyncpg COPY of the same rows", "leads/s", rates["ours"], rates["copy"], Limit(0.5))
    ]
    if "sink" in rates:
        rows = [2 * rate for rate in rates["ours"]]  # a lead and its audit entry
        what = "persister draining a backlog, rows a second"
        results += [
            Result(what, SINK, "rows/s", rows, rates["sink"], Limit(at_least=1.0)),
            Result(NAME, f"{SINK}, its rows", "1/s", rates["ours"], rates["sink"], Limit()),
        ]
    return results


async def _by_batch(waiting: Backlog) -> Curve:
    waiting.bench.say(f"persister: batches of {BATCHES[0]} to {BATCHES[-1]:,}")
    points = [
        (float(batch), await waiting.drained(FASTCORE_PERSISTER_BATCH_MAX_RECORDS=str(batch)))
        for batch in BATCHES
    ]
    return Curve(
        "drain rate against batch size", "records in a batch at most", "leads a second", {"persister": points}
    )


async def _copied(bench: BenchEnvironment, batches: Sequence[tuple[Rows, Rows]]) -> float:
    """COPY a lead row and an audit row for each lead. The rows are decoded before."""
    async with _database(bench) as connection:
        with running_on(bench.measured):
            began = time.perf_counter()
            for leads, entries in batches:
                async with connection.transaction():
                    await connection.copy_records_to_table("lead_inbox", records=leads, columns=LEAD)
                    await connection.copy_records_to_table("audit_log", records=entries, columns=ENTRY)
            took = time.perf_counter() - began
    return sum(len(leads) for leads, _ in batches) / took


@contextlib.asynccontextmanager
async def _database(bench: BenchEnvironment) -> AsyncIterator[Any]:
    database: Database = await bench.stack.new_database()
    try:
        # As the owner, who may write all columns of the audit log.
        connection = await asyncpg.connect(database.owner)
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await bench.stack.drop_database(database)


def _rows(waiting: Backlog, first: int) -> tuple[Rows, Rows]:
    leads, entries = [], []
    for record in waiting.records[first : first + COPY_BATCH]:
        lead = LeadReceived.model_validate_json(record.value)
        source = lead.source.model_dump_json() if lead.source else None
        leads.append(
            (
                lead.lead_id, lead.request_id, lead.site, lead.email, lead.service, lead.name, lead.phone,
                lead.company, lead.message, lead.consent, lead.consent_text, lead.consent_version,
                lead.locale, lead.submitted_at, source, json.dumps(lead.extra), lead.body_sha256,
                lead.occurred_at,
            )
        )  # fmt: skip
        entries.append(
            (
                lead.event_id, "lead.received", lead.site, 201, _details(lead.site, lead.occurred_at),
                lead.lead_id, lead.request_id, lead.occurred_at,
            )
        )  # fmt: skip
    return leads, entries


def _details(site: str, published_at: datetime) -> str:
    """Return the details of an audit entry about its record."""
    said = {"site": site, "topic": "leads.received.v1", "partition": 0, "offset": 123_456}
    return json.dumps(said | {"published_at": published_at.isoformat()})

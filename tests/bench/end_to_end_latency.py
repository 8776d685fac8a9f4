"""The latency of a lead from the website to the dashboard at 300 leads a second, and of a bare consumer.

A bare loop that consumes and inserts, fed by a bare gateway, shows the least that is possible. Two times are
measured: until the transaction of the row is committed, from `created_at_utc`, which is before the record was
published; and until a client sees the lead, from the 201 on. FASTCore's leads are read through the admin
service's API, the loop's from the database itself. Both are polled 3 ms after each answer, on a bare
connection: httpx needs 2 to 3 ms of the two cores for each.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import asyncpg

from contracts.leads import EXAMPLE
from tests.bench.environment import TOKEN, BenchEnvironment, program, reference_gateway, started_together
from tests.bench.inputs.connection import Connection, request
from tests.bench.inputs.load import answered_in
from tests.bench.measure import Limit, Result, in_turns, percentile
from tests.support.services.processes import ServiceProcess
from tests.support.stack import Database
from tests.support.wait import eventually

RATE: Final = 300.0
LIMIT_MS: Final = 150.0
LIMITS: Final = {
    ("stored", "p50"): Limit(at_most=1.5),
    ("stored", "p99"): Limit(at_most=1.5),
    ("seen", "p50"): Limit(at_most=1.7),
    ("seen", "p99"): Limit(at_most=2.0),
}
SAMPLES_A_SECOND: Final = 10
LOOK_SECONDS: Final = 0.003
# The bare consumer has no readiness check; it joins its group within seconds.
JOIN_SECONDS: Final = 30.0
# `stored_at` is the time at which a transaction began. A server that was given needs track_commit_timestamp.
STORED: Final = """
    SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP
               (ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - created_at_utc) * 1000)::float8[]
               AS ms,
           count(*) AS leads
    FROM lead_inbox WHERE created_at_utc > $1"""

Seen = Callable[[str], Awaitable[bool]]


@dataclass(frozen=True)
class Chain:
    """A chain of processes. `seen` returns whether a lead is visible to a reader."""

    gateway: str
    database: Database
    seen: Seen


@dataclass(frozen=True)
class Times:
    """p50 and p99 of one run, in ms: until stored, and until seen."""

    stored: tuple[float, float]
    seen: tuple[float, float]


@contextlib.asynccontextmanager
async def _ours(bench: BenchEnvironment) -> AsyncIterator[Chain]:
    async with _parts(bench) as (database, environment), contextlib.AsyncExitStack() as running:
        services = (program(bench, name, environment) for name in ("ingest", "persister", "admin"))
        started = await running.enter_async_context(started_together(*services))
        connection = await Connection.to(started[2].url)
        running.callback(connection.close)

        async def seen(lead_id: str) -> bool:
            answer = await connection.request(request("GET", f"/admin/leads/{lead_id}"))
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")), answer
            return answer.startswith(b"HTTP/1.1 200")

        yield Chain(started[0].url, database, seen)


@contextlib.asynccontextmanager
async def _bare(bench: BenchEnvironment) -> AsyncIterator[Chain]:
    async with _parts(bench) as (database, environment), contextlib.AsyncExitStack() as running:
        gateway = await running.enter_async_context(reference_gateway(bench, "bare", environment))
        loop = ServiceProcess("loop", environment, bench.folder)
        loop.program = ("tests.bench.references.bare_consumer",)
        loop.start()
        running.callback(loop.kill)
        connection = await asyncpg.connect(database.service)
        running.push_async_callback(connection.close)

        async def seen(lead_id: str) -> bool:
            return bool(await connection.fetchval("SELECT 1 FROM lead_inbox WHERE id = $1", lead_id))

        yield Chain(gateway.url, database, seen)


@contextlib.asynccontextmanager
async def _parts(bench: BenchEnvironment) -> AsyncIterator[tuple[Database, dict[str, str]]]:
    kafka, database = await bench.stack.new_topics(), await bench.stack.new_database()
    yield (
        database,
        {
            "KAFKA_BOOTSTRAP_SERVERS": bench.stack.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "DATABASE_URL": database.service,
            "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
            "FASTCORE_ADMIN_TOKEN": TOKEN,
            "FASTCORE_INGEST_SPOOL_FOLDER": str(bench.folder / f"spool-{kafka.topic_prefix}"),
        },
    )
    await bench.stack.drop_topics(kafka)
    await bench.stack.drop_database(database)


async def _follow(chain: Chain, gateway: Connection, seconds: float) -> float:
    """Post one lead; return the milliseconds from its 201 until it is visible."""
    body = json.dumps(EXAMPLE | {"request_id": uuid4().hex}).encode()
    answer = await gateway.request(request("POST", "/inbound/leads", body))
    began = time.perf_counter()
    assert answer.startswith(b"HTTP/1.1 201"), answer
    lead_id = json.loads(answer.partition(b"\r\n\r\n")[2])["leadId"]
    async with asyncio.timeout(seconds):
        while not await chain.seen(lead_id):  # noqa: ASYNC110 - rows notify nobody
            await asyncio.sleep(LOOK_SECONDS)
    return 1000 * (time.perf_counter() - began)


async def _run(chain: Chain, seconds: float) -> Times:
    connection, gateway = await asyncpg.connect(chain.database.owner), await Connection.to(chain.gateway)
    await _follow(chain, gateway, JOIN_SECONDS)
    began = await connection.fetchval("SELECT now()")
    load = asyncio.create_task(answered_in(chain.gateway, RATE, seconds))
    seen = list[float]()
    while not load.done():
        due = time.perf_counter() + 1 / SAMPLES_A_SECOND
        seen.append(await _follow(chain, gateway, JOIN_SECONDS))
        await asyncio.sleep(max(0, due - time.perf_counter()))
    posted = (await load).sent + len(seen)
    gateway.close()
    row = await eventually(
        lambda: connection.fetchrow(STORED, began),
        until=lambda found: bool(found and found["leads"] >= posted),
        seconds=JOIN_SECONDS,
    )
    await connection.close()
    assert row
    return Times((row["ms"][0], row["ms"][1]), (percentile(seen, 0.5), percentile(seen, 0.99)))


async def compare(bench: BenchEnvironment) -> list[Result]:
    """Run both chains at once, and load them in turns."""
    seconds = 4 if bench.quick else 6
    bench.say(f"way: {RATE:.0f} leads a second from the website to the dashboard")
    times: dict[str, list[Times]] = {"ours": [], "bare": []}
    async with _ours(bench) as ours, _bare(bench) as bare:
        chains = {"ours": ours, "bare": bare}
        for chain in chains.values():
            await _run(chain, 1)  # warm

        async def one(name: str) -> float:
            times[name].append(await _run(chains[name], seconds))
            return times[name][-1].stored[0]

        await in_turns({"ours": lambda: one("ours"), "bare": lambda: one("bare")}, bench.turns)
    results = list[Result]()
    for what in ("stored", "seen"):
        for place, name in enumerate(("p50", "p99")):
            figures = {key: [getattr(each, what)[place] for each in run] for key, run in times.items()}
            title = f"from 201 to {what} at {RATE:.0f} leads/s, {name}"
            if (what, name, bench.quick) == ("seen", "p99", True):
                continue  # a 99th percentile of 40 samples is their maximum
            against, limit = "a bare produce-consume-insert loop", LIMITS[what, name]
            results.append(Result(title, against, "ms", figures["ours"], figures["bare"], limit))
            if name == "p99":
                most = [LIMIT_MS] * len(figures["ours"])
                against, limit = f"the limit of {LIMIT_MS:.0f} ms", Limit(at_most=1.0)
                results.append(Result(title, against, "ms", figures["ours"], most, limit))
    return results

"""`python -m tests.bench.scale.audit_seal`: what sealing costs the persister, and how fast a log is sealed.

Stores batches of leads with and without a sealer beside them, in turns. The sealer is another process and
runs every second, 60 times as often as the flusher's job. Reports processor time, which other programs hardly
change.
"""

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from deploy.cli.migrate import migrate
from deploy.embedded.servers.standalone import running_postgres
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.persister.batch import decode_in_parts
from services.persister.store import Store
from tests.bench.scale.databases import Lap, Meter, metered
from tests.bench.scale.writes import TOPIC, lead_record
from tests.support.factories import lead
from tests.support.sealed_log import new_sealer

BATCH: Final = 500
BEGIN: Final = (
    "INSERT INTO partition_ledger (stage, topic, partition, base_offset, next_offset)"
    " VALUES ('persister', $1, 0, 0, 0)"
)
FILL: Final = """
INSERT INTO audit_log (event_id, event, actor, details_json, lead_id, request_id)
SELECT gen_random_uuid(), 'lead.received', 'persister', jsonb_build_object('partition', n % 12, 'offset', n),
       gen_random_uuid(), gen_random_uuid()::text FROM generate_series(1, $1::bigint) AS n
"""


def _seal_every_second(url: str) -> None:
    async def run() -> None:
        async with open_pool(Postgres.model_validate({"url": url}), "sealer") as pool:
            sealer = new_sealer(pool)
            while True:
                await sealer.run()
                await asyncio.sleep(1)

    asyncio.run(run())


async def _store(store: Store, meter: Meter, first: int, batches: int) -> list[tuple[float, float]]:
    """Store batches. Return the processor time of each, in PostgreSQL and here, in milliseconds."""
    times = list[tuple[float, float]]()
    for number in range(batches):
        offset = first + number * BATCH
        records = [lead_record(lead(), offset + place) for place in range(BATCH)]
        lap, began = Lap(meter), time.process_time()
        await store.save(decode_in_parts(records), records)
        times.append((lap.end()[0], (time.process_time() - began) * 1000))
    return times


async def compare(url: str, console: Console, rounds: int, batches: int) -> None:
    """Store leads in turns without and with a sealer, and print the medians."""
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    async with metered(url) as meter:
        store = Store(meter.pool, Ledger("persister"))
        await meter.pool.execute(BEGIN, TOPIC)
        await _store(store, meter, 0, batches)  # warm
        for number in range(2 * rounds):
            with_sealer = number % 2 == 1
            sealer = multiprocessing.Process(target=_seal_every_second, args=(url,), daemon=True)
            if with_sealer:
                sealer.start()
                await asyncio.sleep(2)
            found[with_sealer] += await _store(store, meter, (number + 1) * batches * BATCH, batches)
            if with_sealer:
                sealer.terminate()
                sealer.join()
    table = Table("a lead, µs of processor time", "sealer off", "sealer on")
    for name, place in (("PostgreSQL", 0), ("persister", 1)):
        values = [
            statistics.median(each[place] for each in found[is_on]) * 1000 / BATCH for is_on in (False, True)
        ]
        table.add_row(name, *(f"{value:.1f}" for value in values))
    console.print(table)


async def catch_up(url: str, console: Console, entries: int) -> None:
    """Fill the log, seal it in one run, and print how long that took."""
    connection = await asyncpg.connect(url, command_timeout=1800)
    try:
        await connection.execute(FILL, entries)
    finally:
        await connection.close()
    async with open_pool(Postgres.model_validate({"url": url}), "sealer") as pool:
        began, processor = time.perf_counter(), time.process_time()
        report = await new_sealer(pool).run()
        took, own = time.perf_counter() - began, time.process_time() - processor
    console.print(f"{report.details} in {took:.1f} s, {own:.1f} s of them processor time of the sealer")


def main(
    entries: Annotated[int, typer.Option(help="To catch up on.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="With the sealer; as many without.")] = 4,
    batches: Annotated[int, typer.Option(help="Of 500 leads in a round.")] = 10,
) -> None:
    """Measure what sealing costs."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder) / "postgres") as server:
        asyncio.run(migrate(server.urls.owner, server.urls.service))
        asyncio.run(compare(server.urls.superuser, console, rounds, batches))
        asyncio.run(catch_up(server.urls.superuser, console, entries))


if __name__ == "__main__":
    typer.run(main)

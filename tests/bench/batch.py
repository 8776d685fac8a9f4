"""`python -m tests.bench.batch`: the cost of the ledger's counts for a batch of 500 leads.

Batches with and without the triggers alternate, so that the machine's load affects both. All are rolled back.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import asyncpg
import typer
from rich.console import Console

from contracts.audit import AuditEvent, AuditRecorded
from contracts.reasons import LIMIT_REASONS
from runtime.database.postgres import _init_connection
from services.persister.store import NO_COUNTS, SQL, _json
from tests.bench.inputs.large_database import Size, large_database
from tests.support.factories import lead

BATCH = 500


async def _batch(connection: Any) -> float:
    leads = [lead() for _ in range(BATCH)]
    entries = [
        AuditRecorded(
            event_id=uuid4(),
            occurred_at=datetime.now(UTC),
            event=AuditEvent.LEAD_RECEIVED,
            actor="default",
            lead_id=each.lead_id,
        )
        for each in leads
    ]
    began = time.perf_counter()
    async for _ in SQL.insert_leads(
        connection,
        leads=_json(leads),
        entries=_json(entries),
        limit_reasons=list(LIMIT_REASONS),
        stage="persister",
        **NO_COUNTS,
    ):
        pass
    return (time.perf_counter() - began) * 1000


async def _compare(url: str, rounds: int) -> dict[bool, list[float]]:
    connection = await asyncpg.connect(url)
    await _init_connection(connection)
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * rounds):
        counted = turn % 2 == 0
        change = connection.transaction()
        await change.start()
        if not counted:
            await connection.execute("ALTER TABLE lead_inbox DISABLE TRIGGER lead_inbox_came")
        times[counted].append(await _batch(connection))
        await change.rollback()
    await connection.close()
    return times


def main(
    leads: Annotated[int, typer.Option(help="Of the database to insert into.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="Batches of either kind.")] = 40,
) -> None:
    """Measure a batch with and without the counts."""
    console = Console()
    with large_database(Size(leads), console) as urls:
        times = asyncio.run(_compare(urls.owner, rounds))
    for counted, name in ((False, "without counts"), (True, "with counts")):
        took = times[counted]
        console.print(f"{name:15} median {statistics.median(took):7.1f} ms, best {min(took):7.1f} ms")


if __name__ == "__main__":
    typer.run(main)

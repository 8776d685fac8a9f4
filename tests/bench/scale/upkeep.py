"""Measures what keeps the database in order (ledger, jobs, VACUUM), and how much room a lead takes."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from deploy.cli.ledger import SQL as LEDGER
from services.admin.monitoring.queue_counts import find_wrong_counts
from tests.bench.inputs.large_database import TABLES
from tests.bench.scale.databases import Lap, Meter
from tests.bench.scale.figures import Figure, median_figure

Work = Callable[[], Awaitable[Any]]
# As an autovacuum worker: PostgreSQL's defaults of autovacuum_vacuum_cost_delay and vacuum_cost_limit.
AUTOVACUUM: Final = "SET vacuum_cost_delay = 2; SET vacuum_cost_limit = 200"
SIZES: Final = """
SELECT c.oid::regclass::text AS name, pg_table_size(c.oid) AS bytes, 'table' AS kind FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
UNION ALL SELECT indexrelid::regclass::text, pg_relation_size(indexrelid), indrelid::regclass::text
FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
ORDER BY bytes DESC
"""


async def measure_upkeep(meter: Meter) -> list[Figure]:
    """Run the ledger's check, the jobs over all leads, and VACUUM of each large table after the writes."""
    pool = meter.pool
    checks: dict[str, Work] = {
        "counts against all rows": lambda: _counts(meter),
        "leads without emails": lambda: _all(LEDGER.leads_without_mails(pool, limit=20)),
        "events without deliveries": lambda: _all(LEDGER.events_without_deliveries(pool, limit=20)),
    }
    jobs: dict[str, Work] = {
        "statistics after an erasure": lambda: pool.execute("SELECT refresh_statistics()"),
        "summary of the changed days": lambda: pool.execute("SELECT refresh_lead_summary()"),
    }
    figures = [await _once(meter, "ledger", name, work, linear=True) for name, work in checks.items()]
    figures += [await _once(meter, "jobs", name, work) for name, work in jobs.items()]
    await pool.execute(AUTOVACUUM)
    for table in TABLES:
        vacuum = partial(pool.execute, f"VACUUM {table}")
        figures.append(await _once(meter, "autovacuum", table, vacuum, linear=True))
    await pool.execute("RESET vacuum_cost_delay; RESET vacuum_cost_limit")
    return figures


async def _once(meter: Meter, group: str, name: str, work: Work, *, linear: bool = False) -> Figure:
    lap = Lap(meter)
    await work()
    return median_figure(group, name, [lap.end()], linear=linear)


async def _counts(meter: Meter) -> None:
    if wrong := await find_wrong_counts(meter.pool):
        raise RuntimeError(f"the counts differ from the rows: {wrong}")


async def _all(rows: Any) -> list[Any]:
    return [row async for row in rows]


async def measure_sizes(meter: Meter, leads: int) -> dict[str, float]:
    """Return the bytes of each table and index per lead, largest first, without those below one byte."""
    rows = await meter.pool.fetch(SIZES)
    return {
        row["name"] if row["kind"] == "table" else f"{row['kind']}/{row['name']}": row["bytes"] / leads
        for row in rows
        if row["bytes"] >= leads
    }

"""Measures what the admin service reads: each query of its pages and routes, as in `tests.bench.admin`."""

from collections.abc import Callable
from typing import Final

import asyncpg

from runtime.failures import DependencyUnavailable
from tests.bench.admin import NAMED
from tests.bench.admin_cases import Case
from tests.bench.admin_queries import cases
from tests.bench.inputs.large_database import SQL
from tests.bench.scale.databases import GIVEN_UP_MS, Lap, Meter
from tests.bench.scale.figures import Figure, median_figure

WARM_UP: Final = 2


async def measure_reads(meter: Meter, runs: int, only: str, say: Callable[[str], None]) -> list[Figure]:
    """Run each case of the admin service repeatedly. One that takes over 20 s is given up."""
    figures = []
    for case in await _cases(meter, only):
        group, _, _ = case.name.partition(":")
        times = await _time(meter, case, runs)
        figures.append(median_figure(group, case.name, times))
        say(f"{case.name}: {figures[-1].processor:.1f} ms")
    return figures


async def _cases(meter: Meter, only: str) -> list[Case]:
    sample = await SQL.sample(meter.pool)
    return [case for case in cases(dict(sample)) if only.lower() in case.name.lower()]


async def _time(meter: Meter, case: Case, runs: int) -> list[tuple[float, float]]:
    await meter.pool.execute(f"SET statement_timeout = {GIVEN_UP_MS}")
    times = []
    try:
        for _ in range(WARM_UP + runs):
            lap = Lap(meter)
            await case.run(meter.pool)
            times.append(lap.end())
    except (DependencyUnavailable, asyncpg.QueryCanceledError):
        return [(GIVEN_UP_MS, GIVEN_UP_MS)]
    finally:
        await meter.pool.execute("SET statement_timeout = 0")
    return times[WARM_UP:]


async def explain(meter: Meter, name: str) -> list[str]:
    """Return EXPLAIN (ANALYZE, BUFFERS) of each statement of a case, with its values and settings."""
    (case,) = [case for case in await _cases(meter, "") if case.name == name]
    meter.statements.clear()
    await case.run(meter.pool)
    # The driver's own statements have no name: BEGIN, COMMIT, the reset of a connection.
    ran = [each for each in meter.statements if each.query in NAMED]
    plans = []
    async with meter.pool.acquire() as connection:
        change = connection.transaction()  # rolled back, because the statement of a preview could write
        await change.start()
        for each in ran:
            if "set_config" in each.query:
                await connection.execute(each.query)
            elif "EXPLAIN" not in each.query:
                rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {each.query}", *each.args)
                plans.append("\n".join(row[0] for row in rows))
        await change.rollback()
    return plans

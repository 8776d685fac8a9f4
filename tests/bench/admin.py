"""`python -m tests.bench.admin`: every query of the admin service at a million leads, with plans and times.

Fails where one takes over 100 ms of the database's processor, or reads a large table from end to end.
Figures are of a warm cache: each case runs once before (the column "first"), then repeatedly. On a quiet
machine the processor's time is the time at the database; on a busy one that is also the wait for others.
"""

import asyncio
import importlib
import json
import pkgutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from runtime.database.postgres import _init_connection
from runtime.failures import DependencyUnavailable
from services.admin import monitoring, store
from services.admin.store.leads import search
from tests.bench import admin_browser
from tests.bench.admin_cases import Case
from tests.bench.admin_queries import cases
from tests.bench.inputs.large_database import SQL, TABLES, Size, large_database, sizes

LIMIT_MS: Final = 100.0
GIVEN_UP_MS: Final = 5000.0
_QUERIES: Final = [
    *(
        module._SQL
        for package in (store, monitoring)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if hasattr(module := importlib.import_module(found.name), "_SQL")
    ),
    *search._SORTED.values(),
]
NAMED: Final = {
    getattr(queries, name).sql
    for queries in _QUERIES
    for name in queries.available_queries
    if not name.endswith("_cursor")
}


@dataclass(frozen=True)
class Worst:
    """The plan node with the longest own time."""

    name: str
    ms: float


@dataclass(frozen=True)
class Result:
    """The times of one case in milliseconds."""

    case: Case
    first: float
    wall: list[float]
    database: list[float]
    processor: list[float]
    worst: Worst
    walked: list[str]

    @property
    def failed(self) -> bool:
        return bool(self.walked) or _p95(self.processor) > LIMIT_MS


def _p95(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]


def _worked(process: int) -> float:
    """Return the CPU time of a process in milliseconds."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6


async def _time(pool: Any, case: Case) -> float:
    began = time.perf_counter()
    await case.run(pool)
    return (time.perf_counter() - began) * 1000


async def _explain(pool: Any, statements: list[Any], options: str) -> list[Any]:
    """Explain the statements of a case with the same values and settings."""
    plans = []
    async with pool.acquire() as connection:
        change = connection.transaction()  # rolled back, because the statement of a preview could write
        await change.start()
        for each in statements:
            if "set_config" in each.query:
                await connection.execute(each.query)
            else:
                query = each.query.replace("EXPLAIN (FORMAT JSON)", "")
                only = "" if query != each.query else f"ANALYZE, BUFFERS{options}, "
                answer = await connection.fetchval(
                    f"EXPLAIN ({only}SUMMARY, FORMAT JSON) {query}", *each.args
                )
                plans.append(json.loads(answer)[0])
        await change.rollback()
    return plans


def _nodes(plan: dict[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield each plan node with its time without its children."""
    children = plan.get("Plans", [])
    own = _ms(plan) - sum(_ms(child) for child in children)
    yield plan, own
    for child in children:
        yield from _nodes(child)


def _ms(node: dict[str, Any]) -> float:
    return float(node["Actual Total Time"] * node["Actual Loops"])


def _name(node: dict[str, Any]) -> str:
    of = node.get("Index Name") or node.get("Relation Name")
    removed = node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
    return f"{node['Node Type']}{' ' + of if of else ''}" + (
        f", {removed:,.0f} passed over" if removed else ""
    )


async def _measure(pool: Any, logged: list[Any], case: Case, runs: int) -> Result:
    logged.clear()
    try:
        first = await _time(pool, case)
    except (DependencyUnavailable, asyncpg.QueryCanceledError):
        late = [GIVEN_UP_MS]
        return Result(case, GIVEN_UP_MS, late, late, late, Worst("given up", GIVEN_UP_MS), [])
    # The driver's own statements have no name: BEGIN, COMMIT, the reset of a connection.
    statements = [each for each in logged if each.query in NAMED]
    wall = [await _time(pool, case) for _ in range(runs)]
    # Without per-node timing, which costs more than the nodes; with it once, to find the slowest node.
    database, processor = [], []
    process = await pool.fetchval("SELECT pg_backend_pid()")
    for _ in range(runs):
        began = _worked(process)
        plans = await _explain(pool, statements, ", TIMING OFF")
        processor.append(_worked(process) - began)
        database.append(sum(plan["Planning Time"] + plan.get("Execution Time", 0) for plan in plans))
    plans = [plan for plan in await _explain(pool, statements, "") if "Execution Time" in plan]
    nodes = [node for plan in plans for node in _nodes(plan["Plan"])]
    worst, own = max(nodes, key=lambda node: node[1])
    walked = [
        node["Relation Name"]
        for node, _ in nodes
        if node["Node Type"] == "Seq Scan"
        and node["Relation Name"] in TABLES
        and node["Actual Loops"]
        and node["Relation Name"] not in case.may_walk
    ]
    return Result(case, first, wall, database, processor, Worst(_name(worst), own), walked)


def _report(results: list[Result], console: Console) -> None:
    table = Table(
        "case",
        "first",
        "wall p50",
        "p95",
        "database p50",
        "p95",
        "processor p50",
        "p95",
        "worst node",
        title="milliseconds",
    )
    for each in results:
        figures = [each.first, statistics.median(each.wall), _p95(each.wall)]
        figures += [f(times) for times in (each.database, each.processor) for f in (statistics.median, _p95)]
        worst = f"{each.worst.ms:.1f} in {each.worst.name}"
        if each.walked:
            worst += f"; reads {', '.join(each.walked)} from end to end"
        table.add_row(
            each.case.name,
            *(f"{figure:.1f}" for figure in figures),
            worst,
            style="red" if each.failed else None,
        )
    console.print(table)


async def _run(url: str, runs: int, only: str, console: Console) -> list[Result]:
    logged: list[Any] = []

    async def prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await _init_connection(connection)
        connection.add_query_logger(logged.append)

    async with asyncpg.create_pool(
        url,
        min_size=1,
        max_size=1,
        init=prepare,
        command_timeout=120,
        server_settings={"statement_timeout": str(int(GIVEN_UP_MS))},
    ) as pool:
        async with pool.acquire() as connection:
            for row in await sizes(connection, url):
                rows = f"{row['rows']:>12,} rows" if row["rows"] is not None else " " * 17
                console.print(f"{row['table']:20}{rows} {row['bytes'] / 1e6:8,.0f} MB")
            sample = dict(await SQL.sample(connection))
        return [
            await _measure(pool, logged, case, runs)
            for case in cases(sample)
            if only.lower() in case.name.lower()
        ]


def main(
    leads: Annotated[int, typer.Option(help="How many leads; five times as many audit entries.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Another seed draws other people.")] = 1,
    runs: Annotated[int, typer.Option(help="How often each case runs.")] = 20,
    only: Annotated[str, typer.Option(help="Only cases with this in their name.")] = "",
    url: Annotated[
        str, typer.Option(help="A superuser's URL of a server with pg_trgm, which searches need.")
    ] = "",
    browser: Annotated[bool, typer.Option(help="Measure the pages in Chromium instead.")] = False,
) -> None:
    """Run every query of the admin service on a large database, and report the slow ones."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    with large_database(Size(leads, seed), console, url) as urls:
        if browser:
            measured = asyncio.run(admin_browser.measure(urls.service, runs, only, console))
            if late := admin_browser.report(measured, console):
                sys.exit(f"rendered after more than {admin_browser.LIMIT_MS:.0f} ms: {'; '.join(late)}")
            return
        results = asyncio.run(_run(urls.service, runs, only, console))
    _report(results, console)
    failed = [each.case.name for each in results if each.failed]
    if failed:
        sys.exit(
            f"over {LIMIT_MS:.0f} ms of processor, or a large table read from end to end: {'; '.join(failed)}"
        )
    console.print(
        f"all {len(results)} within {LIMIT_MS:.0f} ms of processor, and none reads a large table whole"
    )


if __name__ == "__main__":
    typer.run(main)

"""Makes PostgreSQL plan each query for the actual values of its optional filters."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Connection, load_queries

_SQL: Any = load_queries(Path(__file__).with_name("planning.sql"))


async def plan_for_values(connection: Connection) -> None:
    """Force custom plans for the rest of this transaction, and set `random_page_cost`, `work_mem` and `jit`.

    A generic plan would scan the whole table for an optional filter (`:x IS NULL OR column = :x`). A lower
    `random_page_cost` makes PostgreSQL prefer an index to a scan with a sort. A higher `work_mem` keeps the
    bitmap of two filters exact. No query is compiled (JIT), because that takes longer than the query.
    """
    await _SQL.plan_for_values(connection)

"""Makes PostgreSQL plan queries with optional filters for their actual values."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Connection, load_queries

_SQL: Any = load_queries(Path(__file__).with_name("planning.sql"))


async def plan_for_values(connection: Connection) -> None:
    """Make PostgreSQL plan each later query of this transaction for the values of its parameters.

    A plan for all values would scan the whole table if a filter is optional (`:x IS NULL OR column = :x`).
    """
    await _SQL.plan_for_values(connection)

"""Counts open incidents for the gauge in `/metrics`."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, autocommit, load_queries
from services.admin.schemas.incidents import LASTS_AFTER, SEVERITIES, Severity

_SQL: Any = load_queries(Path(__file__).with_name("incident_counts.sql"))


async def count_open_incidents(pool: Pool) -> dict[tuple[Severity, bool], int]:
    """Return the number of open incidents by severity and acknowledgement (True or False).

    A combination without incidents is included, with the number 0. Raises `DependencyUnavailable`.
    """
    counts = {(severity, acknowledged): 0 for severity in SEVERITIES for acknowledged in (True, False)}
    async with autocommit(pool) as connection:
        async for row in _SQL.count_open_incidents(connection, lasts_after=LASTS_AFTER):
            counts[row["severity"], row["acknowledged"]] = row["incidents"]
    return counts

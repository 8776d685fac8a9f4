"""Counts leads over time, by status and by service, for the overview. Reads only; draws nothing."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from runtime.database.postgres import Pool, load_queries, snapshot

SQL: Any = load_queries(Path(__file__).with_name("trends.sql"))
# To count so many takes some 10 ms. Beyond, the planner's statistics answer, and are told as estimates.
COUNT_UP_TO: Final = 50_000


@dataclass(frozen=True)
class Shares:
    """Leads by status and by service, the commonest first. `estimated`: services are from a sample."""

    statuses: dict[str, int]
    services: dict[str, int]
    estimated: bool


class Trends:
    """What the overview draws."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count(
        self, unit: Literal["hour", "day"], since: datetime, zone: ZoneInfo
    ) -> dict[datetime, int]:
        """Return the leads since a time by hour or day of a zone; hours and days without any are absent."""
        async with snapshot(self._pool) as connection:
            rows = SQL.count_by_bucket(connection, unit=unit, since=since, zone=zone.key)
            return {row["at"]: row["leads"] async for row in rows}

    async def shares(self) -> Shares:
        """Return all leads by status, and by service: these counted while that is cheap, else estimated."""
        async with snapshot(self._pool) as connection:
            statuses = {row["word"]: row["leads"] async for row in SQL.count_statuses(connection)}
            rows = sum(statuses.values())
            estimated = rows > COUNT_UP_TO
            found = (
                SQL.estimate_services(connection, rows=rows) if estimated else SQL.count_services(connection)
            )
            services = {row["word"]: row["leads"] async for row in found}
        return Shares(statuses, services, estimated=estimated)

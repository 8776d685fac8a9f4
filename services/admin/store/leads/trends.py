"""Counts leads over time, by status and by service, for the charts of the overview."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from runtime.database.postgres import Pool, load_queries, snapshot

_SQL: Any = load_queries(Path(__file__).with_name("trends.sql"))
# Counting so many leads by service takes about 10 ms. Above it the planner's statistics give estimates.
COUNT_EXACTLY_UP_TO: Final = 50_000


@dataclass(frozen=True)
class Shares:
    """The number of leads by status and by service, the largest first.

    `estimated` says whether the numbers by service are estimates.
    """

    statuses: dict[str, int]
    services: dict[str, int]
    estimated: bool


class Trends:
    """Aggregates the table `lead_inbox`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count(
        self, unit: Literal["hour", "day"], since: datetime, zone: ZoneInfo
    ) -> dict[datetime, int]:
        """Return the number of leads by the start of the hour or day. Omits hours and days without leads."""
        async with snapshot(self._pool) as connection:
            rows = _SQL.count_by_bucket(connection, unit=unit, since=since, zone=zone.key)
            return {row["at"]: row["leads"] async for row in rows}

    async def shares(self) -> Shares:
        """Return the number of leads by status and by service. If there are many, the latter is estimated."""
        async with snapshot(self._pool) as connection:
            statuses = {row["word"]: row["leads"] async for row in _SQL.count_statuses(connection)}
            total = sum(statuses.values())
            estimated = total > COUNT_EXACTLY_UP_TO
            rows = (
                _SQL.estimate_services(connection, rows=total)
                if estimated
                else _SQL.count_services(connection)
            )
            services = {row["word"]: row["leads"] async for row in rows}
        return Shares(statuses, services, estimated=estimated)

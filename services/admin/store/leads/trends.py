"""Counts leads for the overview: by day or month, by hour of the week, and by values such as the site.

A job of the flusher writes the counts of past days to the table `lead_summary`. The leads of later days are
counted at each request.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from runtime.database.postgres import Pool, load_queries, snapshot
from services.admin.store.planning import plan_for_values

_SQL: Any = load_queries(Path(__file__).with_name("trends.sql"))
# Counting this many leads by service takes about 10 ms. Above it, the planner's statistics give estimates.
COUNT_EXACTLY_UP_TO: Final = 50_000
TOP_VALUES: Final = 8

Unit = Literal["day", "month"]
Dimension = Literal["site", "service", "source", "first_source", "campaign", "landing_page"]
DIMENSIONS: Final[tuple[Dimension, ...]] = (
    "first_source",
    "source",
    "campaign",
    "service",
    "site",
    "landing_page",
)


@dataclass(frozen=True)
class Count:
    """The counts of one period: leads that are not spam (`leads`), and spam (`spam`)."""

    leads: int = 0
    spam: int = 0


@dataclass(frozen=True)
class Shares:
    """The number of leads by status and by service, the largest first.

    `estimated` is True if the numbers by service are estimates.
    """

    statuses: dict[str, int]
    services: dict[str, int]
    estimated: bool


class Trends:
    """Aggregates the tables `lead_inbox` and `lead_summary`. Raises `DependencyUnavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count(self, unit: Unit, since: datetime, zone: ZoneInfo) -> dict[datetime, Count]:
        """Return the counts of each day or month, keyed by its start. Omits days and months without leads.

        `since` must be at a full quarter of an hour. The start of a day meets this condition in every time
        zone.
        """
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            covered = await _SQL.covered_until(connection)
            rows = _SQL.count_by_bucket(connection, unit=unit, since=since, covered=covered, zone=zone.key)
            return {row["at"]: Count(row["leads"], row["spam"]) async for row in rows}

    async def count_by_hour_of_week(self, since: datetime, zone: ZoneInfo) -> dict[tuple[int, int], int]:
        """Return the number of leads, keyed by weekday (1 is Monday) and hour in the zone.

        Omits hours without leads.
        """
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            covered = await _SQL.covered_until(connection)
            rows = _SQL.count_by_hour_of_week(connection, since=since, covered=covered, zone=zone.key)
            return {(row["weekday"], row["hour"]): row["leads"] async for row in rows}

    async def top_values(self, since: datetime) -> dict[Dimension, dict[str, int]]:
        """Return the most frequent values of each dimension, and the number of leads with each value.

        Counts the leads that arrived at `since` or later. A dimension is a property of a lead, such as its
        site. The most frequent value comes first. The value "" comes last and stands for leads without a
        value.
        """
        tops: dict[Dimension, dict[str, int]] = {dimension: {} for dimension in DIMENSIONS}
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            rows = _SQL.top_values(
                connection,
                dimensions=DIMENSIONS,
                since=since,
                first_day=_next_utc_day(since),
                covered=await _SQL.covered_until(connection),
                most=TOP_VALUES,
            )
            async for row in rows:
                tops[row["dimension"]][row["value"]] = row["leads"]
        return tops

    async def shares(self) -> Shares:
        """Return the number of leads by status and by service. The numbers by service may be estimates."""
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


def _next_utc_day(at: datetime) -> datetime:
    midnight = datetime.combine(at.astimezone(UTC).date(), time(), UTC)
    return midnight if midnight == at else midnight + timedelta(days=1)

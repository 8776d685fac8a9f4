"""Computes the numbers at the top of the overview.

They are new leads, unanswered leads, response times, and leads that were won or lost.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from runtime.database.postgres import Connection, Pool, load_queries, snapshot

_SQL: Any = load_queries(Path(__file__).with_name("responses.sql"))
DAY: Final = timedelta(days=1)
RESPONSE_PERIOD: Final = timedelta(days=7)
DECISION_PERIOD: Final = timedelta(days=30)
MOST_ASSIGNEES: Final = 10


@dataclass(frozen=True)
class Arrivals:
    """The counts of one day: leads that are not spam (`leads`), and spam (`spam`).

    Leads of yesterday are counted only up to the current time of day, so that both days can be compared.
    """

    leads: int
    spam: int


@dataclass(frozen=True)
class Unanswered:
    """The number of leads with the status `received`: now (`leads`), and a day ago (`leads_before`).

    `oldest_id` and `oldest_at` are the id and the arrival of the oldest lead that has this status now.
    """

    leads: int
    leads_before: int
    oldest_id: UUID | None
    oldest_at: datetime | None


@dataclass(frozen=True)
class ResponseTime:
    """The number of answered leads, and their median response time in seconds.

    The median is None if no lead was answered.
    """

    answered: int
    seconds: float | None


@dataclass(frozen=True)
class Decisions:
    """The number of leads that were won, and the number that were won or lost (`decided`)."""

    won: int
    decided: int

    @property
    def rate(self) -> float | None:
        """Return the share of decided leads that were won.

        Return None if no lead was decided.
        """
        return self.won / self.decided if self.decided else None


@dataclass(frozen=True)
class Numbers:
    """The overview's numbers, and the corresponding numbers of the previous period."""

    arrivals: Arrivals
    arrivals_before: Arrivals
    unanswered: Unanswered
    response: ResponseTime
    response_before: ResponseTime
    decisions: Decisions
    decisions_before: Decisions


class Responses:
    """Reads `lead_response` and the indexes of `lead_inbox`. Raises `DependencyUnavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def numbers(self, now: datetime, today: datetime, yesterday: datetime) -> Numbers:
        """Return the overview's numbers.

        `today` and `yesterday` are the times at which these days began in the viewer's time zone.
        """
        async with snapshot(self._pool) as connection:
            arrivals = await _SQL.count_arrivals(
                connection, today=today, yesterday=yesterday, same_time=yesterday + (now - today)
            )
            unanswered = await _SQL.count_unanswered(connection, before=now - DAY)
            return Numbers(
                arrivals=Arrivals(arrivals["leads"], arrivals["spam"]),
                arrivals_before=Arrivals(arrivals["leads_before"], arrivals["spam_before"]),
                unanswered=Unanswered(**dict(unanswered)),
                response=await _response_time(connection, now),
                response_before=await _response_time(connection, now - RESPONSE_PERIOD),
                decisions=await _decisions(connection, now),
                decisions_before=await _decisions(connection, now - DECISION_PERIOD),
            )

    async def response_times(self, now: datetime) -> dict[str, ResponseTime]:
        """Return the response times of the last 30 days, keyed by assignee.

        The result has only the ten assignees who answered the most leads. The key "" stands for leads without
        an assignee.
        """
        async with snapshot(self._pool) as connection:
            rows = _SQL.response_times(connection, since=now - DECISION_PERIOD, most=MOST_ASSIGNEES)
            return {row["assignee"]: ResponseTime(row["answered"], row["seconds"]) async for row in rows}


async def _response_time(connection: Connection, until: datetime) -> ResponseTime:
    row = await _SQL.response_time(connection, since=until - RESPONSE_PERIOD, until=until)
    return ResponseTime(row["answered"], row["seconds"])


async def _decisions(connection: Connection, until: datetime) -> Decisions:
    row = await _SQL.count_decisions(connection, since=until - DECISION_PERIOD, until=until)
    return Decisions(row["won"], row["decided"])

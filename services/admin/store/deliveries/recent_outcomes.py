"""Counts emails by outcome, and deliveries that failed permanently, in the last hour."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, load_queries, snapshot

_SQL: Any = load_queries(Path(__file__).with_name("recent_outcomes.sql"))


@dataclass(frozen=True)
class EmailOutcomes:
    """The number of emails of one kind that were sent, and the number that failed.

    Only the last outcome of an email counts. `failed` includes emails with an unknown outcome.
    """

    sent: int = 0
    failed: int = 0


@dataclass(frozen=True)
class RecentOutcomes:
    """The outcomes of emails by kind (`emails`), and the number of permanent failures by stage (`dead`)."""

    emails: dict[str, EmailOutcomes] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)


async def count_recent_outcomes(pool: Pool) -> RecentOutcomes:
    """Count the outcomes of the last hour. Raises `DependencyUnavailable`."""
    async with snapshot(pool) as connection:
        emails = {
            row["kind"]: EmailOutcomes(row["sent"], row["failed"])
            async for row in _SQL.recent_mails(connection)
        }
        dead = {row["stage"]: row["rows"] async for row in _SQL.recent_dead(connection)}
    return RecentOutcomes(emails, dead)

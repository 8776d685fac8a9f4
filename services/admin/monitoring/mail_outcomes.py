"""Counts the emails of the last hour or day by site, kind and outcome."""

from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from contracts.mail_failures import NEWEST
from runtime.database.postgres import Pool, autocommit, load_queries
from services.admin.rules.mail_rates import MailCounts, MailRates

_SQL: Any = load_queries(Path(__file__).with_name("mail_outcomes.sql"))
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
# The newest emails that are counted, so that a large installation is read within the time of a page.
MAX_EMAILS: Final = 100_000


async def count_mail_outcomes(pool: Pool, period: timedelta = HOUR) -> MailRates:
    """Count the emails whose last outcome is in this period. Raises `DependencyUnavailable`."""
    states = defaultdict[tuple[str, str], Counter[str]](Counter)
    failures = defaultdict[tuple[str, str], Counter[str]](Counter)
    newest = defaultdict[tuple[str, str], dict[int, str]](dict)
    async with autocommit(pool) as connection:
        rows = _SQL.count_outcomes(
            connection, seconds=period.total_seconds(), bound=MAX_EMAILS, newest=NEWEST
        )
        async for row in rows:
            key = (row["site"], row["kind"])
            states[key][row["state"]] += row["emails"]
            newest[key] |= dict.fromkeys(row["places"], row["state"])
            if row["failure"]:
                failures[key][row["failure"]] += row["emails"]
    return MailRates(
        tuple(
            MailCounts(
                site,
                kind,
                dict(states[site, kind]),
                tuple(state for _, state in sorted(newest[site, kind].items())),
                tuple(failures[site, kind].most_common()),
            )
            for site, kind in sorted(states)
        )
    )

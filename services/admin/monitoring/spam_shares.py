"""Counts the spam of each site."""

from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Pool, autocommit, load_queries
from services.admin.rules.spam_shares import SpamShare

_SQL: Any = load_queries(Path(__file__).with_name("spam_shares.sql"))
# The largest number of leads that are counted for each period, the newest first.
MAX_LEADS: Final = 10_000


async def read_risen_spam(pool: Pool) -> list[SpamShare]:
    """Return the sites whose share of spam in the last 24 hours has risen (see `SpamShare.has_risen`).

    Raises `DependencyUnavailable`.
    """
    async with autocommit(pool) as connection:
        shares = [SpamShare(**dict(row)) async for row in _SQL.spam_by_site(connection, bound=MAX_LEADS)]
    return [share for share in shares if share.has_risen]

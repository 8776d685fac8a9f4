"""Ends sessions before they expire, for every replica. Signing and reading them is `session`'s."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, autocommit, load_queries
from services.admin.auth.session import Session
from services.admin.store.leads import fetch_quickly

SQL: Any = load_queries(Path(__file__).with_name("revocations.sql"))


class Revocations:
    """The sessions that were signed out."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def revoke(self, session: Session) -> None:
        """End a session. Raises `DependencyUnavailable` where that cannot be written."""
        async with autocommit(self._pool) as connection:
            await SQL.revoke(connection, session_digest=session.digest)

    async def include(self, session: Session) -> bool:
        """Return whether a session was signed out. Raises `DependencyUnavailable` after a timeout."""
        return bool(await fetch_quickly(self._pool, SQL.is_revoked.sql, session.digest))

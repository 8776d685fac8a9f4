"""The sessions that ended by logout before they expired. All admin processes share this list."""

from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, autocommit, connection_within_deadline, load_queries
from services.admin.auth.session import Session

_SQL: Any = load_queries(Path(__file__).with_name("revocations.sql"))


class Revocations:
    """Reads and writes the table `revoked_session`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def revoke(self, session: Session) -> None:
        """End a session. Raises `DependencyUnavailable` if the database cannot record it."""
        async with autocommit(self._pool) as connection:
            await _SQL.revoke(connection, session_digest=session.digest)

    async def include(self, session: Session) -> bool:
        """Return True if a session ended by logout.

        Raises `DependencyUnavailable` if the database does not answer within about a second.
        """
        async with connection_within_deadline(self._pool) as connection:
            return bool(await connection.fetchval(_SQL.is_revoked.sql, session.digest))

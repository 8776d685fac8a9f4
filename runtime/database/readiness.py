"""The health check of the database: it answers, it is writable, and transactions can commit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from runtime.database.postgres import (
    PING_SECONDS,
    Pool,
    autocommit,
    has_free_connection,
    ping,
    translate_error,
)
from runtime.failures import DependencyUnavailable, Failure
from runtime.settings import Postgres
from runtime.workarounds.asyncpg import DRIVER_ERRORS, Connector

# A commit waits for the disk and for synchronous standbys, so it may take seconds on a busy server.
COMMIT_SECONDS: Final = 10.0
# A message that no one reads: the smallest write that needs a commit. It changes no table and needs no right.
_COMMIT: Final = "SELECT pg_logical_emit_message(true, 'fastcore', '')"


class CommitProbe:
    """Commits a transaction now and then, beside the checks, which must not wait for it.

    A server whose disk hangs, or that waits for a standby that is gone, answers queries and commits nothing.
    """

    def __init__(self, pool: Pool, spare: Connector) -> None:
        self._pool, self._spare = pool, spare
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._works = True

    def check(self) -> None:
        """Raise `DependencyUnavailable` if the last commit failed, or has taken `COMMIT_SECONDS` by now.

        Starts the next commit if the last one began that long ago.
        """
        elapsed = time.monotonic() - self._began
        if self._task is None or (self._task.done() and elapsed >= COMMIT_SECONDS):
            self._began = time.monotonic()
            self._task = asyncio.create_task(self._commit(), name="commit probe")
        elif not self._task.done() and elapsed >= COMMIT_SECONDS:
            self._works = False
        if not self._works:
            raise DependencyUnavailable("database", "database does not commit")

    async def _commit(self) -> None:
        try:
            if has_free_connection(self._pool):
                async with autocommit(self._pool) as connection:
                    await connection.execute(_COMMIT, timeout=2 * COMMIT_SECONDS)
            else:  # perhaps because each of them waits for its commit
                await self._commit_beside_the_pool()
        except (Failure, *DRIVER_ERRORS):  # `ping` has words for a server that does not answer at all
            self._works = self._works and time.monotonic() - self._began < COMMIT_SECONDS
        else:
            self._works = True

    async def _commit_beside_the_pool(self) -> None:
        connection = await self._spare.connect()
        try:
            await connection.execute(_COMMIT, timeout=2 * COMMIT_SECONDS)
        finally:
            connection.terminate()


def check_database(settings: Postgres, pool: Pool) -> Callable[[], Awaitable[None]]:
    """Return the database's health check. If the pool has no free connection, the check opens its own."""
    spare = Connector(settings.url.get_secret_value(), PING_SECONDS)
    commits = CommitProbe(pool, spare)

    async def check() -> None:
        if has_free_connection(pool):
            await ping(pool)
        else:
            try:
                (await spare.connect()).terminate()
            except DRIVER_ERRORS as error:
                raise translate_error(error) from error
        commits.check()

    return check

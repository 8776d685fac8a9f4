"""Reports a long statement of a migration, and ends the wait for a server that does not answer any more.

A statement has no time limit, because nobody knows how long an index of a large table takes. A limit would
end it shortly before its end, and the next run would begin again.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from runtime.workarounds.asyncpg import DRIVER_ERRORS, Connector, QuietConnection

REPORT_SECONDS: Final = 30.0
# How often in a row the server may fail to answer another connection.
UNANSWERED: Final = 4


class SilentServerError(ConnectionError):
    """The server answers no connection any more. The message says which statement ran."""


@asynccontextmanager
async def watched(connection: QuietConnection, connector: Connector, statement: str) -> AsyncIterator[None]:
    """While the body executes a statement, print every 30 seconds that it still runs.

    At each report, another connection is opened. If that fails four times in a row (two minutes or more), the
    connection of the statement is terminated. Raises `SilentServerError` then, and the errors of the body.
    """
    silent = asyncio.Event()
    watching = asyncio.create_task(_watch(connection, connector, statement, silent))
    try:
        yield
    except DRIVER_ERRORS:
        if silent.is_set():
            msg = (
                f"the database does not answer any more. This statement ran, and may be complete: {statement}"
            )
            raise SilentServerError(msg) from None
        raise
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(
    connection: QuietConnection, connector: Connector, statement: str, silent: asyncio.Event
) -> None:
    began, unanswered = time.monotonic(), 0
    while unanswered < UNANSWERED:
        await asyncio.sleep(REPORT_SECONDS)
        try:
            other = await connector.connect()
            await other.close()
            unanswered, seen = 0, ""
        except DRIVER_ERRORS as error:
            unanswered += 1
            seen = f"; the database does not answer another connection ({type(error).__name__})"
        print(f"still running after {time.monotonic() - began:.0f} s{seen}: {statement}", file=sys.stderr)
    silent.set()
    connection.terminate()

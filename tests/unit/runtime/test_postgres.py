"""What a driver's error means, without a database."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from runtime.failures import WorldAway
from runtime.postgres import Connection, Pool, snapshot, transaction


class Broken:
    """A pool that hands out a connection whose protocol has failed."""

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - the pool's
        raise asyncpg.InternalClientError('cannot switch to state 9; protocol is in the "failed" state')
        yield


@pytest.mark.parametrize("using", [transaction, snapshot])
async def test_regression_a_connection_that_broke_inside_the_driver_is_the_worlds_fault(
    using: Callable[[Pool], AbstractAsyncContextManager[Connection]],
) -> None:
    # Taken for a bug, it ended the admin service and would have parked a consumer's good records.
    with pytest.raises(WorldAway, match="database does not answer"):
        async with using(cast("Pool", Broken())):
            pass

"""The relay's loop, without a database."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from services.flusher.jobs.outbox_relay import OutboxRelay
from services.flusher.jobs.pending_work import PendingWork, PendingWorkReader
from tests.support.wait import eventually

NOTHING = PendingWork(frozenset(), rows=False, replays=False, events=False)


class _Reader(PendingWorkReader):
    def __init__(self) -> None:
        super().__init__(cast("Any", None))
        self.started: list[float] = []

    async def _query(self) -> PendingWork:
        self.started.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        return NOTHING


class _Runs:
    """No run is requested, and the job is not due."""

    def __init__(self) -> None:
        self.pending = _Reader()

    async def is_job_requested(self, name: str) -> bool:
        return name in (await self.pending.read()).jobs


async def test_the_job_and_the_relay_share_one_query() -> None:
    runs, publisher = _Runs(), SimpleNamespace(connected=True)
    relay = OutboxRelay(
        cast("Any", None), cast("Any", runs), cast("Any", publisher), lambda: datetime.now(UTC)
    )
    relay.job._due = datetime.max.replace(tzinfo=UTC)
    task = asyncio.create_task(relay.run())

    async def queries() -> list[float]:
        return runs.pending.started

    try:
        started = await eventually(queries, until=lambda times: len(times) >= 2, what="two queries")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    # The second query belongs to the next poll, which is a whole second later on the loop's clock.
    assert int(started[0]) != int(started[1])

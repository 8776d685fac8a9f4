"""The import of website queues with a test clock, and what it writes to the database."""

from dataclasses import dataclass
from typing import Any

from contracts.leads import lead_id_for
from services.flusher.site_queues.site_queue_import import JOB, SiteQueueImport
from tests.support.services.flusher import Clock
from tests.support.web.websites import FakeSites

LEAD = lead_id_for("shop", "key-1")


@dataclass
class SiteQueueFlusher:
    """The import and the retry scheduler with one clock and one website."""

    pull: SiteQueueImport
    jobs: Any
    clock: Clock
    web: FakeSites

    async def tick(self, **later: float) -> bool:
        self.clock.turn(**(later or {"minutes": 5}))
        return await self.pull.job.tick()


async def job(db: Any) -> Any:
    return await db.fetchrow("SELECT * FROM scheduled_job WHERE name = $1", JOB)


async def entries(db: Any) -> list[Any]:
    return [tuple(row) for row in await db.fetch("SELECT event, actor, lead_id FROM audit_log ORDER BY id")]


async def row(db: Any) -> Any:
    return await db.fetchrow("SELECT * FROM replay_queue")

"""The actions of an admin at the replay queue, as events of a plan."""

from random import Random
from typing import Any

from tests.schedules.database.persister_queries import QUEUE
from tests.schedules.plan import Event, seconds_between
from tests.schedules.webhooks.faults import CHANGES


class QueueFaults:
    """What an admin can do with the queue of a `World`."""

    database: Any
    _admin_transaction: Any

    async def request_retry(self, number: float) -> None:
        """An admin asks for a retry of a row that waits, if there is one."""
        if waiting := [row for row in self.database.rows(QUEUE) if row["state"] == "waiting"]:
            row = waiting[int(number) % len(waiting)]
            async with self._admin_transaction() as transaction:
                await transaction.lock(QUEUE, (row["id"],))
                row = transaction.get(QUEUE, (row["id"],)) or row
                if row["state"] == "waiting":
                    wanted = {"requested_at": transaction.now, "requested_by": "ann"}
                    transaction.put(QUEUE, (row["id"],), row | wanted)


def draw_queue_fault(rng: Random, at: float) -> Event:
    """Return one action of an admin, or a slow database."""
    short = seconds_between(rng, 0.2, 20)
    lead, change = rng.randrange(100), rng.randrange(len(CHANGES))
    return rng.choice(
        (
            Event(at, "request_retry", (rng.randrange(100),)),
            Event(at, "change_lead", (lead, change)),
            Event(at, "change_lead", (lead, change)),
            Event(at, "change_lead", (lead, change)),
            Event(at, "slow_database", (short, rng.choice((20.0, 200.0)))),
        )
    )

"""The flusher's other part in a schedule of webhooks: it publishes the changes of leads."""

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

from contracts import topics
from contracts.lead_events import LeadChanged
from tests.schedules.database.lead_event_queries import OUTBOX

if TYPE_CHECKING:
    from tests.schedules.world import World

RELAY_SECONDS: Final = 0.5


async def relay_changes(world: "World") -> NoReturn:
    """Publish the changes in the outbox in their order, until cancelled."""
    while True:
        await asyncio.sleep(RELAY_SECONDS)
        database = world.database
        for row in sorted(database.rows(OUTBOX), key=lambda each: int(each["position"])):
            change = LeadChanged.model_validate({**row, "occurred_at": row["created_at"]})
            key, value = str(change.lead_id).encode(), change.model_dump_json().encode()
            await world.publish_record(topics.CHANGED.name, key, value, [])
            await database.answering()
            transaction = database.begin()
            transaction.delete(OUTBOX, (row["position"],))
            transaction.commit()

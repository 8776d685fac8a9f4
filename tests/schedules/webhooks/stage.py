"""The webhooks service as a stage of schedules."""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from aiokafka import TopicPartition

from runtime.consumer_app import Openers
from runtime.database.postgres import OpenPool
from runtime.settings import Kafka, SitesFile
from services.webhooks.app import create_app as webhooks_app
from services.webhooks.settings import Settings
from tests.schedules.database.pool import Opener, Statements
from tests.schedules.database.webhooks_queries import webhooks_statements
from tests.schedules.oracles import check_ledger
from tests.schedules.retries import retry_failures
from tests.schedules.stage import POSTGRES, LedgerStage
from tests.schedules.webhooks.faults import draw_receiver_fault
from tests.schedules.webhooks.oracles import (
    RETRY_WAITS,
    check_claims,
    check_order,
    check_webhooks,
    first_unplanned,
)
from tests.schedules.webhooks.receivers import SECRET, SECRET_VARIABLE, SITES_FILE, Arrival
from tests.schedules.webhooks.relay import relay_changes

if TYPE_CHECKING:
    from tests.schedules.world import World


async def _help(world: "World") -> None:
    """Do what the flusher does: send failures back, and publish the changes of leads."""
    note = world.receivers.on_arrival

    def check(arrival: Arrival) -> None:
        note(arrival)
        world.violations += check_order(world, arrival)

    world.receivers.on_arrival = check
    world.database.on_commit = lambda writes: world.violations.extend(check_claims(world, writes))
    await asyncio.gather(retry_failures(world), relay_changes(world))


class WebhooksStage(LedgerStage):
    """The webhooks service, with the flusher's retries and outbox beside it."""

    name = "webhooks"
    shapes = (*("lead",) * 12, *("repeat",) * 3, "conflict", "poison", "null", "refused")
    draw_fault = staticmethod(draw_receiver_fault)
    beside = staticmethod(_help)
    quiet_seconds = 900.0  # a destination that has failed for minutes is paused for as long

    def statements(self) -> Statements:
        """Return the queries of webhooks."""
        return webhooks_statements()

    def create_app(self, kafka: Kafka, opener: Opener, batch_records: int) -> Callable[[], Any]:
        """Return a function that makes the app. Its batches have the size of the product."""
        del batch_records
        os.environ[SECRET_VARIABLE] = SECRET
        settings = Settings(
            kafka=kafka,
            postgres=POSTGRES,
            sites_file=SitesFile(path=SITES_FILE),
            admin_url="https://leads.example.com/admin",
            retry_waits_seconds=RETRY_WAITS,
        )
        return lambda: webhooks_app(settings, Openers(open_pool=cast("OpenPool", opener)))

    def counted(self, world: "World", partition: TopicPartition) -> int:
        """Return the ledger's next offset, or the first one whose lead has no event."""
        return first_unplanned(world, partition, super().counted(world, partition))

    def check(self, world: "World") -> list[str]:
        """Return what is wrong with the ledger and the deliveries."""
        return check_ledger(world, self.name) + check_webhooks(world)

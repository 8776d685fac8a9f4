"""The flusher as a stage of schedules."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from aiokafka import TopicPartition

from runtime.consumer_app import Openers
from runtime.database.postgres import OpenPool
from runtime.settings import Kafka
from services.flusher import app
from services.flusher.retries import claim, retry_rules
from services.flusher.retries.retry_scheduler import RetryScheduler
from services.flusher.settings import Settings
from tests.schedules.database.flusher_queries import flusher_statements
from tests.schedules.database.pool import Opener, Statements
from tests.schedules.database.server import clock
from tests.schedules.flusher.failures import SHAPES
from tests.schedules.flusher.faults import draw_queue_fault
from tests.schedules.flusher.oracles import check_flusher, first_unstored, note_changes
from tests.schedules.flusher.stages import handle_retries
from tests.schedules.oracles import check_ledger
from tests.schedules.stage import POSTGRES, LedgerStage

if TYPE_CHECKING:
    from tests.schedules.world import World


async def _help(world: "World") -> None:
    """Do what the stages do, and remember the changes of leads."""
    world.database.on_commit = lambda writes: note_changes(world, writes)
    await handle_retries(world)


class FlusherStage(LedgerStage):
    """The flusher: it stores failures, retries them every minute, and publishes changes of leads.

    Its waits are seconds in place of minutes.
    """

    name = "flusher"
    shapes = SHAPES
    draw_fault = staticmethod(draw_queue_fault)
    beside = staticmethod(_help)
    quiet_seconds = 900.0  # three retries, at the ticks of minutes
    patches = (
        (app, "utc_now", clock),
        (RetryScheduler.__init__, "__defaults__", (clock, None)),
        (retry_rules, "WAITS", (timedelta(0), timedelta(seconds=10), timedelta(seconds=20))),
        (claim, "OVERDUE_AFTER", timedelta(seconds=90)),
    )

    def statements(self) -> Statements:
        """Return the queries of the flusher."""
        return flusher_statements()

    def create_app(self, kafka: Kafka, opener: Opener, batch_records: int) -> Callable[[], Any]:
        """Return a function that makes the app. Its batches have the size of the product."""
        del batch_records
        settings = Settings(kafka=kafka, postgres=POSTGRES, cron="* * * * *")
        return lambda: app.create_app(settings, Openers(open_pool=cast("OpenPool", opener)))

    def counted(self, world: "World", partition: TopicPartition) -> int:
        """Return the ledger's next offset, or the first one whose failure is not stored."""
        end = super().counted(world, partition)
        return first_unstored(world, partition, end)

    def check(self, world: "World") -> list[str]:
        """Return what is wrong with the ledger and the queue."""
        return check_ledger(world, self.name) + check_flusher(world)

"""The stages that run in schedules, by name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from runtime.consumer_app import Openers
from runtime.database.postgres import OpenPool
from runtime.settings import Kafka
from services.persister.app import create_app as persister_app
from services.persister.settings import Settings as PersisterSettings
from tests.schedules.database.persister_queries import persister_statements
from tests.schedules.database.pool import Opener, Statements
from tests.schedules.flusher.stage import FlusherStage
from tests.schedules.notifier.stage import NotifierStage
from tests.schedules.oracles import check_ledger, check_persister
from tests.schedules.stage import POSTGRES, LedgerStage, Stage
from tests.schedules.webhooks.stage import WebhooksStage

if TYPE_CHECKING:
    from tests.schedules.world import World


class PersisterStage(LedgerStage):
    """The persister."""

    name = "persister"

    def statements(self) -> Statements:
        """Return the persister's queries."""
        return persister_statements()

    def create_app(self, kafka: Kafka, opener: Opener, batch_records: int) -> Callable[[], Any]:
        """Return a function that makes the persister's app."""
        settings = PersisterSettings(kafka=kafka, postgres=POSTGRES, batch_max_records=batch_records)
        return lambda: persister_app(settings, Openers(open_pool=cast("OpenPool", opener)))

    def check(self, world: "World") -> list[str]:
        """Return what is wrong with the ledger, the leads and the failures."""
        return check_ledger(world, self.name) + check_persister(world)


STAGES: dict[str, Stage] = {
    "persister": PersisterStage(),
    "notifier": NotifierStage(),
    "webhooks": WebhooksStage(),
    "flusher": FlusherStage(),
}

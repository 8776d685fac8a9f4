"""The notifier as a stage of schedules."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from aiokafka import TopicPartition

from runtime.consumer_app import Openers
from runtime.database.postgres import OpenPool
from runtime.settings import Kafka
from services.notifier.app import create_app as notifier_app
from services.notifier.settings import Settings, Smtp
from tests.schedules.database.notifier_queries import notifier_statements
from tests.schedules.database.pool import Opener, Statements
from tests.schedules.notifier.faults import draw_mail_fault
from tests.schedules.notifier.oracles import check_notifier, first_undecided
from tests.schedules.notifier.smtp_server import ADDRESS
from tests.schedules.oracles import check_ledger
from tests.schedules.retries import retry_failures
from tests.schedules.stage import POSTGRES, LedgerStage

if TYPE_CHECKING:
    from tests.schedules.world import World

_BATCH_MAX: Final = 500


def notifier_settings(kafka: Kafka, batch_records: int) -> Settings:
    """Return the settings of a notifier in a schedule.

    Each alert goes out by itself. A command before the body may hang for a minute only, so that a schedule
    sees what follows.
    """
    return Settings(
        kafka=kafka,
        postgres=POSTGRES,
        smtp=Smtp(host=ADDRESS[0], port=ADDRESS[1], tls=False),
        from_email="hello@example.com",
        admin_email="team@example.com",
        batch_max_records=batch_records,
        welcomes_per_site_and_hour=1_000_000,
        alert_burst=0,
        envelope_timeout_seconds=60.0,
    )


class NotifierStage(LedgerStage):
    """The notifier, with the flusher's retries beside it."""

    name = "notifier"
    shapes = (
        *("lead",) * 12,
        *("repeat",) * 3,
        *("greylisted",) * 2,
        "unknown_mailbox",
        "conflict",
        "poison",
        "null",
        "refused",
    )
    draw_fault = staticmethod(draw_mail_fault)
    beside = staticmethod(retry_failures)

    def statements(self) -> Statements:
        """Return the notifier's queries."""
        return notifier_statements()

    def create_app(self, kafka: Kafka, opener: Opener, batch_records: int) -> Callable[[], Any]:
        """Return a function that makes the notifier's app."""
        settings = notifier_settings(kafka, min(batch_records, _BATCH_MAX))
        return lambda: notifier_app(settings, Openers(open_pool=cast("OpenPool", opener)))

    def counted(self, world: "World", partition: TopicPartition) -> int:
        """Return the ledger's next offset, or the first one whose mails are not decided."""
        return first_undecided(world, partition, super().counted(world, partition))

    def check(self, world: "World") -> list[str]:
        """Return what is wrong with the ledger and the emails."""
        return check_ledger(world, self.name) + check_notifier(world)

"""The stages that run in schedules: how a member is made, and what must be true of its effects."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiokafka import TopicPartition
from pydantic import SecretStr

from runtime.consumer_app import Openers
from runtime.database.postgres import OpenPool
from runtime.settings import Kafka, Postgres
from services.persister.app import create_app as persister_app
from services.persister.settings import Settings as PersisterSettings
from tests.schedules.database import ledger_queries as ledger
from tests.schedules.database.persister_queries import persister_statements
from tests.schedules.database.pool import Opener, Statements
from tests.schedules.database.server import Row
from tests.schedules.oracles import check_ledger, check_persister

if TYPE_CHECKING:
    from tests.schedules.world import World

POSTGRES = Postgres(url=SecretStr("postgresql://simulated/database"))


class Stage(Protocol):
    """A stage of the pipeline in a schedule."""

    @property
    def name(self) -> Any:
        """Return the service's name."""

    def statements(self) -> Statements:
        """Return the queries that the stage sends."""

    def create_app(self, kafka: Kafka, opener: Opener, batch_records: int) -> Callable[[], Any]:
        """Return a function that makes the app of one process."""

    def counted(self, world: "World", partition: TopicPartition) -> int:
        """Return the offset up to which the stage has stored a partition's records."""

    def check(self, world: "World") -> list[str]:
        """Return what is not right yet. What is left at the end is a violation."""


class LedgerStage:
    """What all stages with a ledger share."""

    name: Any = ""

    def counted(self, world: "World", partition: TopicPartition) -> int:
        """Return the ledger's next offset."""
        entry = newest_entry(world, self.name, partition)
        return entry["next_offset"] if entry else 0


def newest_entry(world: "World", stage: str, partition: TopicPartition) -> Row | None:
    """Return the ledger's newest entry of a partition."""
    rows = [
        row
        for row in world.database.rows(ledger.TABLE)
        if (row["stage"], row["topic"], row["partition"]) == (stage, partition.topic, partition.partition)
    ]
    return max(rows, key=lambda row: int(row["epoch"]), default=None)


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


STAGES: dict[str, Stage] = {"persister": PersisterStage()}

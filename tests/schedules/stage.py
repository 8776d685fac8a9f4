"""What a stage is in a schedule: how a member is made, and what must be true of its effects."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiokafka import TopicPartition
from pydantic import SecretStr

from runtime.settings import Kafka, Postgres
from tests.schedules.database import ledger_queries as ledger
from tests.schedules.database.pool import Opener, Statements
from tests.schedules.database.server import Row
from tests.schedules.plan import SHAPES, Event

if TYPE_CHECKING:
    from tests.schedules.world import World

# After the last fault has ended, everything is handled within this time: the watchdog's 120 s, a restart, a
# session that times out, and a comparison of the ledger after 60 s.
QUIET_SECONDS: Final = 300.0
POSTGRES = Postgres(url=SecretStr("postgresql://simulated/database"))


class Stage(Protocol):
    """A stage of the pipeline in a schedule.

    `shapes` are the records that it gets. `draw_fault` draws the faults that only this stage has. `beside`
    runs beside the members. Within `quiet_seconds` after the last fault, all is handled.
    `patches` replace the service's clock and waits.
    """

    @property
    def name(self) -> Any:
        """Return the service's name."""

    @property
    def shapes(self) -> tuple[str, ...]: ...
    @property
    def draw_fault(self) -> Callable[[Random, float], Event] | None: ...
    @property
    def beside(self) -> Callable[[Any], Awaitable[Any]] | None: ...
    @property
    def quiet_seconds(self) -> float: ...
    @property
    def patches(self) -> tuple[tuple[Any, str, Any], ...]: ...

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
    shapes: tuple[str, ...] = SHAPES
    draw_fault: Callable[[Random, float], Event] | None = None
    beside: Callable[[Any], Awaitable[Any]] | None = None
    quiet_seconds: float = QUIET_SECONDS
    patches: tuple[tuple[Any, str, Any], ...] = ()

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

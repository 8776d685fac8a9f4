"""What the flusher does with records of `leads.failed.v1`: take them into the queue."""

from collections.abc import Sequence

from runtime.failures import Failure
from runtime.logs import logger
from services.flusher.intake import Record, read
from services.flusher.publisher import ReplayPublisher
from services.flusher.store import Store


class Handler:
    """Takes failures. There is no stage behind this one: what cannot be taken pauses it."""

    def __init__(self, store: Store, publisher: ReplayPublisher, group: str) -> None:
        self._store = store
        self._publisher = publisher
        self._group = group
        self._log = logger("queue")

    async def handle(self, records: Sequence[Record]) -> None:
        """Take a batch whole."""
        failures = [read(record, self._group) for record in records]
        await self._store.take(failures, self._publisher.archive)
        self._log.info("Queue took failures", count=len(failures))

    async def park(self, record: Record, failure: Failure) -> None:
        """Archive a failure that the queue refuses: its bytes are safe, and its row is missing."""
        self._log.error("failure not taken into the queue", reason=failure.reason)
        await self._publisher.archive(read(record, self._group))
        await self._store.count_parked(record)

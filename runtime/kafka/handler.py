"""What a service implements to consume records, and the types of the records."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from aiokafka import ConsumerRecord

from runtime.failures import Failure

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Batch: TypeAlias = Sequence[Record]


class Handler(Protocol):
    """A service's handler of records. Both methods must tolerate a redelivery of any record."""

    async def handle(self, records: Batch) -> None:
        """Process all of these records.

        If that fails, leave no lasting effect and raise a `runtime.failures` error.
        """

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Publish one failed record to the replay queue, or dead-letter it after a `PermanentError`."""

"""Handlers for tests of the consumer."""

from collections.abc import Sequence
from typing import Any

from runtime.failures import Failure


class Taken:
    """A handler that collects the values of its records, and parks none."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def handle(self, records: Sequence[Any]) -> None:
        self.values.extend(record.value for record in records)

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)

"""Records that the database refused get a second try, whatever that meets."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from runtime.failures import (
    Backoff,
    DependencyRefused,
    DependencyUnavailable,
    Failure,
    PartitionsBusy,
    RetryableError,
)
from runtime.kafka.batch_processor import BatchProcessor


def record(offset: int) -> Any:
    return ConsumerRecord("t", 0, offset, 0, 0, b"k", b"v", 0, 1, 1, ())


class SecondTry:
    """Refuses the record at offset 1 until another is taken, and then does something else with it."""

    def __init__(self, second: Exception) -> None:
        self.second = second
        self.taken = False
        self.parked: list[tuple[int, str]] = []

    async def handle(self, records: Sequence[Any]) -> None:
        if any(each.offset == 1 for each in records):
            raise self.second if self.taken else DependencyRefused("database", "database answered P0001")
        self.taken = True

    async def send_to_retry_queue(self, each: Any, failure: Failure) -> None:
        self.parked.append((each.offset, failure.reason))


@pytest.mark.parametrize(
    ("second", "parked"),
    [
        (RetryableError("database refused the data (22001)"), [(1, "database refused the data (22001)")]),
        (ValueError("a bug"), [(1, "bug: ValueError")]),
        (PartitionsBusy({("t", 0): 1}, 1.0), []),
    ],
)
async def test_regression_a_second_try_may_fail_as_any_record(
    second: Exception, parked: list[tuple[int, str]]
) -> None:
    handler = SecondTry(second)
    delivery = BatchProcessor(handler, [record(1), record(2)], Backoff())
    await delivery.run()
    assert handler.parked == parked
    assert (delivery.busy is not None) == isinstance(second, PartitionsBusy)


async def test_a_record_whose_second_try_meets_an_outage_is_not_done() -> None:
    delivery = BatchProcessor(
        SecondTry(DependencyUnavailable("database", "away")), [record(1), record(2)], Backoff()
    )
    with pytest.raises(DependencyUnavailable):
        await delivery.run()
    assert delivery.completed == 0

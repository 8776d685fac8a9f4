"""When a log may have changed under a consumer: after a gap in its fetches."""

from typing import Any, cast

from runtime.kafka.fetch_gaps import GAP_MS, FetchGaps
from tests.support.kafka.fake_kafka import FakeConsumer


class PolledConsumer(FakeConsumer):
    """A consumer whose last poll is the test's to say."""

    def __init__(self) -> None:
        super().__init__()
        self.polled_at = 1000

    def poll(self, after_ms: int) -> Any:
        self.polled_at = (self.polled_at or 0) + after_ms
        return self


def test_fetch_gap_is_found_between_answered_fetches() -> None:
    gaps, consumer = FetchGaps(), PolledConsumer()
    for _ in range(3):
        gaps.update(consumer.poll(after_ms=500))
    assert not gaps.found
    gaps.update(cast("Any", consumer))  # silent
    assert not gaps.found
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert gaps.found


def test_fetch_gap_is_not_found_again_for_slow_broker() -> None:
    gaps, consumer = FetchGaps(), PolledConsumer()
    gaps.update(consumer.poll(after_ms=0))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    gaps.confirm(cast("Any", consumer))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert not gaps.found, "the records after a check are handled"

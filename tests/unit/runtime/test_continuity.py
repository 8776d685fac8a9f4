"""When a log may have changed under a consumer: after a gap in its fetches."""

from typing import Any, cast

from aiokafka import TopicPartition

from runtime.kafka.fetch_gaps import GAP_MS, FetchGaps

ONE = TopicPartition("t", 0)


class FakeConsumer:
    def __init__(self) -> None:
        self.polled_at: int | None = 1000

    def assignment(self) -> set[TopicPartition]:
        return {ONE}

    def last_poll_timestamp(self, _: TopicPartition) -> int | None:
        return self.polled_at

    def poll(self, after_ms: int) -> Any:
        self.polled_at = (self.polled_at or 0) + after_ms
        return self


def test_fetches_in_a_row_are_one_log_and_a_gap_between_them_may_hide_another() -> None:
    gaps, consumer = FetchGaps(), FakeConsumer()
    for _ in range(3):
        gaps.update(consumer.poll(after_ms=500))
    assert not gaps.found
    gaps.update(cast("Any", consumer))  # silent
    assert not gaps.found
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert gaps.found


def test_a_broker_that_is_slow_with_each_answer_does_not_ask_for_a_check_for_ever() -> None:
    gaps, consumer = FetchGaps(), FakeConsumer()
    gaps.update(consumer.poll(after_ms=0))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    gaps.confirm(cast("Any", consumer))
    gaps.update(consumer.poll(after_ms=GAP_MS + 1))
    assert not gaps.found, "the records after a check are handled"

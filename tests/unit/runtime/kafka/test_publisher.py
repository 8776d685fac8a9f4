"""The publisher replaces broken producers. The producer is a fake, because a real one rarely breaks."""

from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordTooLargeError,
)

from runtime.failures import DependencyUnavailable, PermanentError
from runtime.health import Health
from runtime.kafka.broker import build_broker
from runtime.kafka.publisher import Publisher, open_publisher
from runtime.settings import Kafka
from runtime.tasks import run_in_background
from tests.support.kafka.fake_producer import FakeProducer
from tests.support.wait import eventually


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> type[FakeProducer]:
    class Series(FakeProducer):
        created: list[FakeProducer] = []  # noqa: RUF012 - one list for the series
        plan: list[Exception | None] = []  # noqa: RUF012

    monkeypatch.setattr("runtime.kafka.publisher.AIOKafkaProducer", Series)
    monkeypatch.setattr("runtime.failures.Backoff.seconds", lambda *_: 0.01)
    return Series


async def send(publisher: Publisher, seconds: float = 1.0) -> Any:
    return await publisher.send("t", key=b"k", value=b"v", headers=[], seconds=seconds)


SETTINGS = Kafka(bootstrap_servers="127.0.0.1:1", topic_prefix="p.")


async def test_broken_producer_is_closed_and_replaced(
    producers: type[FakeProducer],
) -> None:
    producers.plan = [OutOfOrderSequenceNumber(), None]
    async with open_publisher(SETTINGS, "test", Health()) as publisher:
        with pytest.raises(DependencyUnavailable, match="OutOfOrderSequenceNumber"):
            await send(publisher)
        assert (await send(publisher)).topic == "p.t"
    assert [each.stopped for each in producers.created] == [True, True]


async def test_publish_timeout_bounds_the_wait_for_acknowledgement(
    producers: type[FakeProducer],
) -> None:
    producers.plan = [TimeoutError()]
    async with open_publisher(SETTINGS, "test", Health()) as publisher:
        with pytest.raises(DependencyUnavailable, match="in time"):
            await send(publisher, seconds=0.05)
    assert len(producers.created) == 1


@pytest.mark.parametrize("refusal", [MessageSizeTooLargeError, RecordTooLargeError])
async def test_oversized_record_raises_permanent_error(
    producers: type[FakeProducer], refusal: type[Exception]
) -> None:
    producers.plan = [refusal()]
    async with open_publisher(SETTINGS, "test", Health()) as publisher:
        with pytest.raises(PermanentError):
            await send(publisher)
        assert publisher.connected
    assert len(producers.created) == 1


async def test_publisher_start_is_retried_until_broker_answers(
    producers: type[FakeProducer],
) -> None:
    producers.plan = [KafkaConnectionError(), KafkaConnectionError(), None]
    health = Health()
    async with open_publisher(SETTINGS, "test", health) as publisher:

        async def connected() -> bool:
            return publisher.connected

        await eventually(connected, seconds=5)
        await health.refresh()
        assert health.ready
    assert len(producers.created) == 3


async def test_regression_producer_of_silent_brokers_is_replaced(
    producers: type[FakeProducer],
) -> None:
    publisher = Publisher(SETTINGS, "test", silence_seconds=0.05)
    async with run_in_background(publisher.run(), "publisher"):

        async def count_producers() -> int:
            return len(producers.created)

        await eventually(count_producers, until=lambda count: count > 1, what="another producer")


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Health:
    monkeypatch.setattr("runtime.health.REUSE_SECONDS", 0.0)
    return Health()


async def test_regression_check_fails_while_brokers_are_silent(
    producers: type[FakeProducer], checked: Health
) -> None:
    async with open_publisher(SETTINGS, "test", checked) as publisher:
        await send(publisher)
        for answers in (True, False, True):
            producers.created[0].answers = answers
            await checked.refresh()
            assert checked.ready is answers


async def test_regression_check_fails_after_unacknowledged_send(
    producers: type[FakeProducer], checked: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    producers.plan = [TimeoutError()]
    async with open_publisher(SETTINGS, "test", checked) as publisher:
        with pytest.raises(DependencyUnavailable):
            await send(publisher, seconds=0.05)
        await checked.refresh()
        assert checked.parts["kafka_producer"].reason == "kafka did not acknowledge in time"
        producers.created[0].fault = None
        await send(publisher)
        await checked.refresh()
        assert checked.ready
        producers.created[0].fault = TimeoutError()
        with pytest.raises(DependencyUnavailable):
            await send(publisher, seconds=0.05)
        monkeypatch.setattr("runtime.kafka.publisher.FAILED_SECONDS", 0.0)  # no send has been tried since
        await checked.refresh()
        assert checked.ready


async def test_producer_is_idempotent_and_waits_for_all_replicas(
    producers: type[FakeProducer],
) -> None:
    async with open_publisher(SETTINGS, "test", Health()) as publisher:
        await send(publisher)
    assert producers.created[0].options["acks"] == "all"
    assert producers.created[0].options["enable_idempotence"] is True


async def test_regression_producer_that_was_starting_is_closed(
    producers: type[FakeProducer],
) -> None:
    producers.plan = [BlockingIOError()]
    async with open_publisher(SETTINGS, "test", Health()) as publisher:

        async def count_producers() -> bool:
            return bool(producers.created)

        await eventually(count_producers, what="the producer")
        assert not publisher.connected
    assert [each.stopped for each in producers.created] == [True]


async def test_clients_refresh_metadata_within_half_a_minute(
    producers: type[FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers: list[dict[str, Any]] = []
    monkeypatch.setattr("runtime.kafka.broker.KafkaBroker", lambda *_, **options: brokers.append(options))
    build_broker(SETTINGS, "test")
    async with open_publisher(SETTINGS, "test", Health()) as publisher:
        await send(publisher)
    assert [each["metadata_max_age_ms"] for each in (*brokers, producers.created[0].options)] == [
        30_000,
        30_000,
    ]

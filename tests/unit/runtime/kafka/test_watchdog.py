"""A consumer without progress is detected."""

import time
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from runtime.kafka.watchdog import STALL_SECONDS, ConsumerStalled, Watchdog
from tests.support.kafka.consuming import make_lagging_consumer
from tests.support.kafka.fake_kafka import PARTITION


async def test_watchdog_raises_on_lag_without_progress() -> None:
    watchdog, kafka = Watchdog(), make_lagging_consumer()
    await watchdog.check(cast("Any", kafka))
    watchdog._progress_at -= STALL_SECONDS + 1
    watchdog._measure_at = 0
    with pytest.raises(ConsumerStalled, match="10 records behind"):
        await watchdog.check(cast("Any", kafka))
    kafka.committed_offsets[PARTITION], watchdog._measure_at = 20, 0
    await watchdog.check(cast("Any", kafka))


@pytest.mark.parametrize("committed", [None, 5], ids=["nothing committed", "a commit below the start"])
async def test_regression_watchdog_ignores_expired_records(
    committed: int | None,
) -> None:
    # It counted them forever: the process was restarted every two minutes.
    watchdog, kafka = Watchdog(), make_lagging_consumer()
    kafka.starts[PARTITION] = 20
    kafka.committed_offsets = {} if committed is None else {PARTITION: committed}
    await watchdog.check(cast("Any", kafka))
    watchdog._progress_at -= STALL_SECONDS + 1
    watchdog._measure_at = 0
    await watchdog.check(cast("Any", kafka))


async def test_regression_watchdog_replaces_client_of_silent_brokers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watchdog, kafka = Watchdog(silence_seconds=60), make_lagging_consumer()
    await watchdog.check(cast("Any", kafka))
    now = time.monotonic()
    monkeypatch.setattr("runtime.workarounds.aiokafka_metadata.time.monotonic", lambda: now + 61)
    with pytest.raises(KafkaConnectionError):
        await watchdog.check(cast("Any", kafka))

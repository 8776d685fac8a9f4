"""Kafka clients pause between requests for metadata, also while a partition has no leader."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from contracts import topics
from deploy.cli.topic_provisioning import open_admin
from runtime.health import Health
from runtime.kafka.broker import build_broker
from runtime.kafka.consumer import Consumer
from runtime.kafka.policy import Policy
from runtime.settings import Kafka
from runtime.tasks import run_in_background
from runtime.workarounds import aiokafka_metadata
from tests.support.kafka.brokers import running_brokers
from tests.support.kafka.consuming import CollectingHandler
from tests.support.wait import eventually

TOPIC = topics.RECEIVED.name
WATCHED_SECONDS = 3.0


async def test_regression_partition_without_leader_costs_few_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # aiokafka sent 4,600 requests a second until the partition had a leader, which kept a processor busy.
    # Without any broker, it tried to connect as often.
    requests = 0
    update = aiokafka_metadata._update

    async def count(*arguments: object) -> bool:
        nonlocal requests
        requests += 1
        return bool(await update(*arguments))

    monkeypatch.setattr(aiokafka_metadata, "_update", count)
    with running_brokers(tmp_path) as brokers:
        kafka = Kafka(bootstrap_servers=",".join(each.bootstrap_servers for each in brokers))
        alone = NewTopic(TOPIC, -1, -1, replica_assignments={0: [1], 1: [3]})
        async with open_admin(kafka, "test") as admin:
            await admin.create_topics([alone])
        consumer = Consumer(build_broker(kafka, "test"), [TOPIC], "g", Health(), Policy())

        async def is_assigned() -> bool:
            found = consumer._connection._subscriber.consumer
            return bool(found and len(found.assignment()) == len(alone.replica_assignments))

        async def count_requests() -> int:
            nonlocal requests
            requests = 0
            await asyncio.sleep(WATCHED_SECONDS)
            return requests

        async with run_in_background(consumer.run(CollectingHandler()), "consumer"):
            await eventually(is_assigned, what="an assignment")
            await asyncio.to_thread(brokers[2].stop)
            with_leaderless = await count_requests()
            await asyncio.gather(*(asyncio.to_thread(each.stop) for each in brokers))
            await asyncio.sleep(WATCHED_SECONDS)  # the pauses become longer
            with_none = await count_requests()
            await consumer.drain()
    assert 5 <= with_leaderless <= WATCHED_SECONDS / aiokafka_metadata.METADATA_PAUSE_SECONDS + 1
    assert 1 <= with_none <= WATCHED_SECONDS / aiokafka_metadata.METADATA_MAX_PAUSE_SECONDS + 1

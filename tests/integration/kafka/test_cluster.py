"""Topic provisioning and the doctor with three real brokers, some of which are stopped."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NotCoordinatorForGroupError

from contracts import topics
from deploy.cli import topic_provisioning as provisioning
from deploy.cli.topic_provisioning import OFFSETS_TOPIC, ProvisionError, open_admin, provision, read_layout
from deploy.cli.topic_settings import read_settings
from deploy.embedded.servers.standalone import Kafka as Broker
from runtime.kafka.broker import build_broker
from runtime.settings import Kafka
from tests.support.kafka.brokers import running_brokers
from tests.support.services.processes import ROOT
from tests.support.wait import eventually

# As a cluster that began with one broker has it.
BEGAN_ALONE = "\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=2\n"


@dataclass
class Cluster:
    """Start two of three brokers."""

    brokers: list[Broker]

    @property
    def kafka(self) -> Kafka:
        return Kafka(bootstrap_servers=",".join(each.bootstrap_servers for each in self.brokers))

    async def doctor(self) -> tuple[int, dict[str, list[tuple[str, str]]]]:
        """Run the doctor with --json; return its exit code and each check's levels and observations."""
        environment = {
            "PATH": "", "DEBUG": "true", "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
        }  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "deploy.cli.doctor", "--json"],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert not done.stderr, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        findings: dict[str, list[tuple[str, str]]] = {}
        for finding in report["findings"]:
            assert finding["level"] == "ok" or finding["todo"], finding
            findings.setdefault(finding["check"], []).append((finding["level"], finding["seen"]))
        assert report["fail"] == sum(level == "fail" for each in findings.values() for level, _ in each)
        return done.returncode, findings


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_brokers(tmp_path_factory.mktemp("brokers"), properties=BEGAN_ALONE) as brokers:
        yield Cluster(brokers)
        for broker in brokers:
            broker.kill()  # a graceful stop would hand over leaders, and wait


RECEIVED = TopicPartition(topics.RECEIVED.name, 0)


async def commit(kafka: Kafka, place: TopicPartition = RECEIVED) -> None:
    """Commit an offset, so that Kafka creates the __consumer_offsets topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id="test", enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign([place])
    try:
        await consumer.commit({place: 0})
    finally:
        await consumer.stop()


async def known(kafka: Kafka, count: int) -> None:
    async def brokers() -> int:
        try:
            async with open_admin(kafka, "test") as admin:
                return len((await admin.describe_cluster())["brokers"])
        except KafkaError:  # of one that is not there
            return 0

    await eventually(brokers, until=lambda n: n == count, seconds=60, what=f"{count} brokers")


async def test_regression_provision_waits_for_brokers_and_adds_replicas(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning, "BROKERS_SECONDS", 0.5)
    kafka, third = cluster.kafka, cluster.brokers[2]
    await known(kafka, 3)
    await asyncio.to_thread(third.stop)
    await known(kafka, 2)
    with pytest.raises(ProvisionError, match="2 of 3 brokers answered"):
        await provision(kafka, 3)
    async with open_admin(kafka, "test") as admin:
        assert not [name for name in await admin.list_topics() if name != OFFSETS_TOPIC]

    # What such an installation had: one replica of everything, and settings that fall short.
    assert "created leads.received.v1" in await provision(kafka, 1)
    async with open_admin(kafka, "test") as admin:
        short = [topics.FAILED.name, topics.DEAD.name]
        await admin.delete_topics(short)
        await eventually(admin.list_topics, until=lambda names: not set(short) & set(names), what="none")
        await admin.create_topics(
            [
                NewTopic(
                    topics.FAILED.name, 3, 1, topic_configs={"retention.ms": "1000", "segment.ms": "60000"}
                )
            ]
        )
        longer = {"retention.ms": str(90 * topics.DAY_MS)}
        await admin.create_topics([NewTopic(topics.DEAD.name, 6, 1, topic_configs=longer)])
    await commit(kafka)

    code, findings = await cluster.doctor()
    assert code == 1
    assert findings["brokers"] == [("fail", "2 of 3 (FASTCORE_KAFKA_REPLICATION)")]
    assert findings["offsets-topic"][0][0] == "fail"
    assert "1 of 3 replicas" in findings["offsets-topic"][0][1]

    monkeypatch.setattr(provisioning, "BROKERS_SECONDS", 60.0)
    waiting = asyncio.create_task(provision(kafka, 3))
    await asyncio.to_thread(third.start)
    said = await waiting
    assert "leads.received.v1: 1 replicas, now 3" in said
    assert "leads.failed.v1: 3 partitions, now 6" in said
    assert f"{OFFSETS_TOPIC}: 1 replicas, now 3" in said
    # The two topics in `short` were created with the brokers' default, which is 2.
    repaired = sum("min.insync.replicas was 1, now 2" in line for line in said)
    assert repaired == len(topics.ALL) - len(short)
    await eventually(lambda: provision(kafka, 3), until=lambda changes: not changes, what="nothing to repair")
    names = [topic.name for topic in topics.ALL]
    async with open_admin(kafka, "test") as admin:
        for part, replicas in (await read_layout(admin, [*names, OFFSETS_TOPIC], of="isr")).items():
            assert sorted(replicas) == [1, 2, 3], part

    async def settings() -> dict[str, Any]:
        async with open_admin(kafka, "test") as admin:
            return {name: each.effective for name, each in (await read_settings(admin, names)).items()}

    # A broker that has just started answers with what it knows so far.
    configs = await eventually(
        settings,
        until=lambda findings: {each["min.insync.replicas"] for each in findings.values()} == {"2"},
        seconds=30,
        what="two replicas in sync for every topic",
    )
    assert configs[topics.FAILED.name]["retention.ms"] == str(topics.FAILED.retention_ms)
    assert configs[topics.FAILED.name]["segment.ms"] == "60000", "a setting that is not ours stays"
    assert configs[topics.DEAD.name]["retention.ms"] == str(90 * topics.DAY_MS), "a longer one stays"


async def test_regression_doctor_names_missing_broker_and_replicas(
    cluster: Cluster,
) -> None:
    kafka = cluster.kafka
    await known(kafka, 3)
    await provision(kafka, 3)

    def three_ok(said: tuple[int, Any]) -> bool:
        checked = said[1]["topics"] + said[1]["brokers"] + said[1]["offsets-topic"]
        return [level for level, _ in checked] == ["ok"] * 3

    # A broker that has just started answers with what it knows so far.
    code, findings = await eventually(
        cluster.doctor, until=three_ok, seconds=60, what="three findings, all ok"
    )
    assert findings["bootstrap"] == [("ok", "all 3 servers and 3 brokers answer")]
    assert code == 1, "the groups have no members"

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([topics.AUDIT.name])
    await eventually(admin.list_topics, until=lambda names: topics.AUDIT.name not in names, what="no topic")
    await admin.create_topics([NewTopic(topics.AUDIT.name, 6, 1)])
    await admin.close()
    # The first in the list: a doctor that queried no other would report that Kafka is unavailable.
    first = cluster.brokers[0]
    await asyncio.to_thread(first.kill)
    await known(kafka, 2)
    code, findings = await cluster.doctor()
    assert code == 1
    [(level, seen)] = findings["brokers"]
    assert level == "fail"
    assert seen.startswith("broker 1 is unavailable: it has replicas of ")
    assert ("ok", "2 brokers answer") in findings["kafka"]
    [(level, seen)] = findings["bootstrap"]
    assert (level, first.bootstrap_servers in seen) == ("warn", True)
    assert ("fail", "audit.recorded.v1: ") in [(level, seen[:19]) for level, seen in findings["topics"]]
    assert any("of 3 replicas" in seen for _, seen in findings["topics"])
    await asyncio.to_thread(first.start)
    await known(kafka, 3)


async def test_regression_broker_that_does_not_coordinate_refuses_offsets(cluster: Cluster) -> None:
    # Its answer has an error code and no partitions: it counted as a group that has committed nothing.
    kafka = cluster.kafka
    await known(kafka, 3)
    build_broker(kafka, "test")  # installs the workarounds for aiokafka
    answers = list[str]()
    async with open_admin(kafka, "test") as admin:
        await admin.create_topics([NewTopic("offsets-test", 1, 1)])
        place = TopicPartition("offsets-test", 0)
        await commit(kafka, place)
        for broker in (await admin.describe_cluster())["brokers"]:
            try:
                offsets = await admin.list_consumer_group_offsets("test", broker["node_id"])
            except NotCoordinatorForGroupError:
                answers.append("refused")
            else:
                answers.append(f"committed {offsets[place].offset}")
        await admin.delete_topics(["offsets-test"])
    assert sorted(answers) == ["committed 0", "refused", "refused"]

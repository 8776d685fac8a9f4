"""Repairs on a Kafka that refuses some requests, as managed clusters do."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError

from contracts import topics
from deploy.cli.consumer_groups import read_groups
from deploy.cli.doctor.broker import check_group
from deploy.cli.doctor.cluster import _check_unreadable_settings
from deploy.cli.topic_provisioning import _add_partitions, _add_replicas
from deploy.cli.topic_settings import read_settings, repair_settings
from runtime.settings import Kafka

DENIED, POLICY = 29, 44


class RefusingAdmin:
    """A Kafka admin client that refuses requests as configured, and records the settings that it accepts."""

    def __init__(self, settings: dict[str, str] | None = None, *, code: int = 0, refuses: str = "") -> None:
        self.settings, self.code, self.refuses = settings, code, refuses
        self.accepted: dict[str, str] = {}

    async def describe_configs(self, _: Any) -> list[Any]:
        entries = None if self.settings is None else [(*each, False, 5) for each in self.settings.items()]
        return [SimpleNamespace(resources=[(self.code, None, 2, "leads", entries)])]

    async def alter_configs(self, changes: list[Any]) -> list[Any]:
        settings = changes[0].configs
        if self.refuses in settings:
            return [SimpleNamespace(resources=[(POLICY, "at most 1 MiB", 2, "leads")])]
        self.accepted = settings
        return [SimpleNamespace(resources=[(0, None, 2, "leads")])]

    async def describe_topics(self, _: Any) -> list[Any]:
        return [
            {"topic": topics.RECEIVED.name, "partitions": [{"partition": 0, "replicas": [1], "isr": [1]}]}
        ]

    async def create_partitions(self, _: Any) -> None:
        raise IncompatibleBrokerVersion("not here")

    async def _send_to_controller(self, _: Any) -> None:
        raise IncompatibleBrokerVersion("not here")

    async def describe_consumer_groups(self, names: list[str]) -> list[Any]:
        return [SimpleNamespace(groups=[(30, names[0], "", "", "", [])])]


async def repair(
    kafka: Any, declared: dict[str, str] | None = None, replicas: int = 3, lacking: tuple[str, ...] = ()
) -> list[str]:
    return await repair_settings(kafka, {"leads": declared or {}}, {"leads": replicas}, 3, lacking=lacking)


async def test_regression_settings_that_kafka_does_not_show_are_a_warning() -> None:
    assert await repair(RefusingAdmin(code=DENIED)) == [
        (
            "warning: Kafka does not allow reading the settings of topic leads"
            " (TopicAuthorizationFailedError): check retention and min.insync.replicas yourself"
        )
    ]
    assert "warning: " in (await repair(RefusingAdmin(None)))[0]


async def test_regression_a_setting_that_kafka_does_not_name_is_left_alone() -> None:
    assert await repair(RefusingAdmin({"retention.ms": "9"}), {"retention.ms": "5", "segment.ms": "1"}) == []


async def test_regression_refused_topic_setting_does_not_block_the_others() -> None:
    kafka = RefusingAdmin({"max.message.bytes": "1", "retention.ms": "1"}, refuses="max.message.bytes")
    line = await repair(kafka, {"max.message.bytes": "2", "retention.ms": "5"})
    assert kafka.accepted == {"retention.ms": "5"}
    assert line == [
        (
            "warning: Kafka does not allow setting max.message.bytes of topic leads"
            " (PolicyViolationError: at most 1 MiB): it is 1, and should be 2"
        ),
        "leads: retention.ms was 1, now 5",
    ]


async def test_no_more_brokers_must_have_a_record_than_there_are_replicas() -> None:
    assert await repair(RefusingAdmin({"min.insync.replicas": "1"}), replicas=1, lacking=("leads",)) == []


async def test_regression_outdated_broker_metadata_lowers_no_min_isr() -> None:
    kafka = RefusingAdmin({"min.insync.replicas": "2"}, refuses="nothing")
    await repair(kafka, replicas=1)
    assert kafka.accepted == {"min.insync.replicas": "2"}


async def test_regression_refused_partitions_and_replicas_are_warnings() -> None:
    kafka: Any = RefusingAdmin()
    (line,) = await _add_partitions(kafka, "", [topics.RECEIVED.name])
    assert line.startswith("warning: Kafka does not allow adding partitions to topic leads.received.v1")
    (line,), lacking = await _add_replicas(kafka, [topics.RECEIVED.name], [1, 2, 3], 3)
    assert lacking == {topics.RECEIVED.name}
    assert line.startswith("warning: Kafka does not allow adding replicas to topic leads.received.v1")


async def test_a_broker_that_does_not_answer_is_still_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse_connection(*_: Any) -> None:
        raise KafkaConnectionError

    kafka: Any = RefusingAdmin()
    monkeypatch.setattr(kafka, "describe_configs", refuse_connection)
    with pytest.raises(KafkaConnectionError):
        await read_settings(kafka, ["leads"])


async def test_regression_the_doctor_warns_of_what_kafka_does_not_show() -> None:
    kafka: Any = RefusingAdmin(code=DENIED)
    (found,) = _check_unreadable_settings(await read_settings(kafka, ["leads"]))
    assert (found.level, "TopicAuthorizationFailedError" in found.seen) == ("warn", True)
    group = (await read_groups(kafka, ""))["persister"]
    found = check_group(Kafka(bootstrap_servers="a:1"), "persister", group)
    assert (found.level, "GroupAuthorizationFailedError" in found.seen) == ("warn", True)

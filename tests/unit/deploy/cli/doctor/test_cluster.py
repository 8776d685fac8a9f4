"""The pure checks of Kafka's brokers, topics and encryption."""

from typing import Any

import pytest

from contracts import topics
from deploy.cli.doctor.cluster import _check_brokers, _check_encryption, _check_offsets_topic, _check_topics
from runtime.settings import Kafka

KAFKA = Kafka(bootstrap_servers="127.0.0.1:9092")


def cluster(
    replicas: int = 3, behind: int = 0, **config: str
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Describe all topics as declared, except for the arguments."""
    nodes = list(range(replicas))
    part = {"replicas": nodes, "isr": nodes[: replicas - behind]}
    described = {
        topic.name: {"partitions": [part | {"partition": n} for n in range(topic.partitions)]}
        for topic in topics.ALL
    }
    configs = {topic.name: topic.config() | {"min.insync.replicas": "2"} | config for topic in topics.ALL}
    return described, configs


def levels(brokers: int = 3, **changes: Any) -> set[str]:
    return {found.level for found in _check_topics(KAFKA, *cluster(**changes), brokers)}


def test_topics_as_declared_pass() -> None:
    assert levels() == {"ok"}
    assert levels(brokers=1, replicas=1, **{"min.insync.replicas": "1"}) == {"ok"}


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 1},
        {"min.insync.replicas": "1"},
        {"retention.ms": "3600000"},
        {"cleanup.policy": "compact"},
        {"unclean.leader.election.enable": "true"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_topic_that_could_lose_leads_fails(changes: dict[str, Any]) -> None:
    assert levels(**changes) == {"fail"}


def test_a_replica_that_is_behind_is_a_warning() -> None:
    assert levels(behind=1) == {"warn"}


def test_a_setting_above_its_declaration_passes() -> None:
    for longer in (str(400 * topics.DAY_MS), "-1"):
        changes: dict[str, Any] = {"retention.ms": longer}
        assert levels(**changes) == {"ok"}


def test_a_topic_that_accepts_no_record_fails() -> None:
    assert levels(brokers=1, replicas=1, **{"min.insync.replicas": "2"}) == {"fail"}


def test_missing_and_unavailable_brokers_are_reported() -> None:
    described, _ = cluster()
    named = {node: f"broker-{node}:9092" for node in range(3)}
    assert [found.level for found in _check_brokers(KAFKA, described, named, 3)] == ["ok"]
    del named[1]
    [away] = _check_brokers(KAFKA, {name: leading(topic) for name, topic in described.items()}, named, 3)
    assert (away.level, away.seen) == (
        "fail", "broker 1 is unavailable: it has replicas of 54 partitions in 9 topics",
    )  # fmt: skip
    alone, _ = cluster(replicas=1)
    assert [found.level for found in _check_brokers(KAFKA, alone, {0: "a:1"}, 1)] == ["warn"]
    assert [found.level for found in _check_brokers(KAFKA, alone, {0: "a:1"}, 3)] == ["fail"]


def leading(topic: dict[str, Any]) -> dict[str, Any]:
    return {"partitions": [part | {"leader": 0} for part in topic["partitions"]]}


def test_the_offsets_topic_needs_its_replicas_too() -> None:
    alone = {"__consumer_offsets": {"partitions": [{"replicas": [1]}]}}
    assert _check_offsets_topic(alone, 3).level == "fail"
    assert _check_offsets_topic(alone, 1).level == "ok"
    assert _check_offsets_topic({}, 3).level == "ok"


def test_kafka_without_tls_passes_on_this_machine_only() -> None:
    assert _check_encryption(KAFKA).level == "ok"
    assert _check_encryption(Kafka(bootstrap_servers="127.0.0.1:9092,kafka.example:9092")).level == "warn"
    login = {"sasl_username": "u", "sasl_password": "p", "bootstrap_servers": "kafka.example:9092"}
    plain = Kafka.model_validate({**login, "security_protocol": "SASL_PLAINTEXT"})
    assert _check_encryption(plain).level == "warn"
    assert _check_encryption(Kafka.model_validate({**login, "security_protocol": "SASL_SSL"})).level == "ok"

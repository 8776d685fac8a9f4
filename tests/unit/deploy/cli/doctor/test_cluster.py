"""What the doctor makes of what it is shown: topics, connections, encryption. Pure halves only."""

from typing import Any

import pytest

from contracts import topics
from deploy.cli.doctor.check_result import is_this_machine
from deploy.cli.doctor.cluster import _brokers, _encrypted, _offsets_topic, _topics
from deploy.cli.doctor.database import _connections
from runtime.settings import Kafka, Postgres

KAFKA = Kafka(bootstrap_servers="127.0.0.1:9092")
POSTGRES = Postgres.model_validate({"url": "postgresql://a:b@db.example/x"})


def cluster(
    replicas: int = 3, behind: int = 0, **config: str
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """All topics as they are declared, but for what is said."""
    nodes = list(range(replicas))
    part = {"replicas": nodes, "isr": nodes[: replicas - behind]}
    described = {
        topic.name: {"partitions": [part | {"partition": n} for n in range(topic.partitions)]}
        for topic in topics.ALL
    }
    configs = {topic.name: topic.config() | {"min.insync.replicas": "2"} | config for topic in topics.ALL}
    return described, configs


def levels(brokers: int = 3, **changes: Any) -> set[str]:
    return {found.level for found in _topics(KAFKA, *cluster(**changes), brokers)}


def test_topics_as_declared_are_well() -> None:
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


def test_a_replica_that_is_behind_is_to_be_looked_at() -> None:
    assert levels(behind=1) == {"warn"}


def test_a_setting_that_keeps_more_than_declared_is_well() -> None:
    for longer in (str(400 * topics.DAY_MS), "-1"):
        changes: dict[str, Any] = {"retention.ms": longer}
        assert levels(**changes) == {"ok"}


def test_a_topic_that_nobody_can_write_fails() -> None:
    assert levels(brokers=1, replicas=1, **{"min.insync.replicas": "2"}) == {"fail"}


def test_the_brokers_are_as_many_as_are_wanted_or_named_as_away() -> None:
    described, _ = cluster()
    named = {node: f"broker-{node}:9092" for node in range(3)}
    assert [found.level for found in _brokers(KAFKA, described, named, 3)] == ["ok"]
    del named[1]
    [away] = _brokers(KAFKA, {name: leading(topic) for name, topic in described.items()}, named, 3)
    assert (away.level, away.seen) == (
        "fail", "broker 1 is away: it has replicas of 36 partitions in 6 topics",
    )  # fmt: skip
    alone, _ = cluster(replicas=1)
    assert [found.level for found in _brokers(KAFKA, alone, {0: "a:1"}, 1)] == ["warn"]
    assert [found.level for found in _brokers(KAFKA, alone, {0: "a:1"}, 3)] == ["fail"]


def leading(topic: dict[str, Any]) -> dict[str, Any]:
    return {"partitions": [part | {"leader": 0} for part in topic["partitions"]]}


def test_the_topic_of_the_offsets_needs_its_replicas_too() -> None:
    alone = {"__consumer_offsets": {"partitions": [{"replicas": [1]}]}}
    assert _offsets_topic(alone, 3).level == "fail"
    assert _offsets_topic(alone, 1).level == "ok"
    assert _offsets_topic({}, 3).level == "ok"


@pytest.mark.parametrize(
    ("processes", "limit", "level"), [(8, 97, "ok"), (18, 97, "warn"), (20, 97, "fail"), (8, 30, "fail")]
)
def test_all_pools_must_fit_with_ten_to_spare(processes: int, limit: int, level: str) -> None:
    server = {"connections": limit, "rolconnlimit": -1, "datconnlimit": -1}
    assert _connections(server, POSTGRES, processes).level == level


def test_a_limit_of_the_role_counts_too() -> None:
    server = {"connections": 500, "rolconnlimit": 20, "datconnlimit": -1}
    assert _connections(server, POSTGRES, 8).level == "fail"


def test_kafka_without_tls_is_well_on_this_machine_only() -> None:
    assert _encrypted(KAFKA).level == "ok"
    assert _encrypted(Kafka(bootstrap_servers="127.0.0.1:9092,kafka.example:9092")).level == "warn"
    login = {"sasl_username": "u", "sasl_password": "p", "bootstrap_servers": "kafka.example:9092"}
    plain = Kafka.model_validate({**login, "security_protocol": "SASL_PLAINTEXT"})
    assert _encrypted(plain).level == "warn"
    assert _encrypted(Kafka.model_validate({**login, "security_protocol": "SASL_SSL"})).level == "ok"


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        *((here, True) for here in ("localhost", "127.0.0.1", "::1", "[::1]", "/run/pg", None)),
        *((away, False) for away in ("10.0.0.1", "db")),
    ],
)
def test_only_loopback_and_sockets_are_this_machine(host: str | None, is_so: bool) -> None:
    assert is_this_machine(host) is is_so

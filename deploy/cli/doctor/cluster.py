"""Checks of Kafka's brokers and topics: which brokers answer, and how many copies of each record exist.

The checks of consumer groups are in the module `broker`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security

from contracts import topics
from deploy.cli.consumer_groups import read_groups
from deploy.cli.doctor.broker import check_group
from deploy.cli.doctor.check_result import CheckResult, fail, is_this_machine, ok, warn
from deploy.cli.kafka_errors import refusal_reason
from deploy.cli.topic_provisioning import OFFSETS_TOPIC
from deploy.cli.topic_settings import TopicSettings, is_insufficient, min_insync, read_settings
from runtime.kafka.broker import diagnose_connection
from runtime.settings import Kafka

TIMEOUT_SECONDS: Final = 10.0
REPAIR: Final = "python -m deploy.cli.topics"


async def check_kafka(kafka: Kafka, replication: int) -> AsyncIterator[CheckResult]:
    """Connect to Kafka, then check brokers, topics and groups.

    `replication` is the number of brokers that should hold each record. If Kafka cannot be queried, the last
    result is a failure with the reason.
    """
    admin = AIOKafkaAdminClient(
        bootstrap_servers=kafka.bootstrap_servers,
        client_id="fastcore-doctor",
        request_timeout_ms=int(TIMEOUT_SECONDS * 1000),
        **parse_security(kafka.security()),
    )
    try:
        await asyncio.wait_for(admin.start(), TIMEOUT_SECONDS)
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            cluster = await admin.describe_cluster()
            described = {topic["topic"]: topic for topic in await admin.describe_topics()}
            brokers = {each["node_id"]: f"{each['host']}:{each['port']}" for each in cluster["brokers"]}
            yield ok("kafka", f"{len(brokers)} brokers answer" if len(brokers) > 1 else "1 broker answers")
            yield _check_encryption(kafka)
            for result in [
                *await _check_addresses(kafka, brokers),
                *_check_brokers(kafka, described, brokers, replication),
            ]:
                yield result
            yield await _check_auto_creation(admin, cluster)
            names = [kafka.topic_prefix + topic.name for topic in topics.ALL]
            settings = await read_settings(admin, [name for name in names if name in described])
            for result in _check_unreadable_settings(settings):
                yield result
            configs = {name: each.effective for name, each in settings.items()}
            for result in _check_topics(kafka, described, configs, replication):
                yield result
            yield _check_offsets_topic(described, replication)
            for service, group in (await read_groups(admin, kafka.topic_prefix)).items():
                yield check_group(kafka, service, group)
    except (KafkaError, OSError, TimeoutError) as error:
        reason = await diagnose_connection(kafka)
        yield fail(
            "kafka",
            f"{reason} ({type(error).__name__}), tried {kafka.bootstrap_servers}",
            "check KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_ settings: docs/managed-services.md",
        )
    finally:
        await asyncio.wait_for(admin.close(), TIMEOUT_SECONDS)


def _check_encryption(kafka: Kafka) -> CheckResult:
    hosts = [each.strip().rpartition(":")[0] for each in kafka.bootstrap_servers.split(",")]
    if "SSL" in kafka.security_protocol.replace("SASL", ""):
        return ok("kafka-tls", kafka.security_protocol)
    if all(is_this_machine(host) for host in hosts):
        return ok("kafka-tls", "not needed: the same machine")
    todo = "set KAFKA_SECURITY_PROTOCOL=SASL_SSL, unless the network is this machine's own (compose)"
    return warn("kafka-tls", f"{kafka.security_protocol}: no TLS", todo)


async def _check_addresses(kafka: Kafka, brokers: Mapping[int, str]) -> list[CheckResult]:
    """Connect to each bootstrap server, and to each broker at the address that it advertises."""
    servers = [each.strip() for each in kafka.bootstrap_servers.split(",")]
    unreachable = await _find_unreachable(kafka, {*servers, *brokers.values()})
    results = [
        warn(
            "bootstrap",
            f"{server} does not answer ({len(servers)} in KAFKA_BOOTSTRAP_SERVERS)",
            "start that broker, or remove it from the list: if the others fail, nobody can connect",
        )
        for server in servers
        if server in unreachable
    ]
    results += [
        fail(
            "bootstrap",
            f"broker {node} advertises the address {address}, which does not answer from here",
            "start the broker; if it runs, correct its advertised.listeners",
        )
        for node, address in brokers.items()
        if address in unreachable
    ]
    return results or [ok("bootstrap", f"all {len(servers)} servers and {len(brokers)} brokers answer")]


async def _find_unreachable(kafka: Kafka, addresses: set[str]) -> set[str]:
    async def answers(address: str) -> bool:
        host, _, port = address.rpartition(":")
        with suppress(KafkaError, OSError, TimeoutError, ValueError):
            options = parse_security(kafka.security())
            (await asyncio.wait_for(create_conn(host, int(port), **options), TIMEOUT_SECONDS / 2)).close()
            return True
        return False

    ordered = sorted(addresses)
    reachable = await asyncio.gather(*map(answers, ordered))
    return {address for address, is_reachable in zip(ordered, reachable, strict=True) if not is_reachable}


def _check_brokers(
    kafka: Kafka, described: Mapping[str, Any], brokers: Mapping[int, str], replication: int
) -> Iterator[CheckResult]:
    """Report each unavailable broker that has replicas. If there is none, report whether one may fail."""
    ours = {kafka.topic_prefix + topic.name for topic in topics.ALL} | {OFFSETS_TOPIC}
    partitions = [
        (name, partition)
        for name, topic in described.items()
        if name in ours
        for partition in topic["partitions"]
    ]
    unavailable = {node for _, partition in partitions for node in partition["replicas"]} - brokers.keys()
    for node in sorted(unavailable):
        affected = [(name, partition) for name, partition in partitions if node in partition["replicas"]]
        leaderless = sum(partition["leader"] < 0 for _, partition in affected)
        seen = f"broker {node} is unavailable: it has replicas of {len(affected)} partitions"
        seen += f" in {len({name for name, _ in affected})} topics"
        if leaderless:
            seen += f", and {leaderless} of them have no other leader"
        yield fail("brokers", seen, "start it; until then no other broker may fail")
    if unavailable:
        return
    if len(brokers) < replication:
        todo = "start the others, or set FASTCORE_KAFKA_REPLICATION to the number of brokers that you want"
        yield fail("brokers", f"{len(brokers)} of {replication} (FASTCORE_KAFKA_REPLICATION)", todo)
    elif min_insync(replication) > 1:
        yield ok("brokers", f"{len(brokers)}: one may fail")
    else:
        todo = (
            "run three brokers with FASTCORE_KAFKA_REPLICATION=3; otherwise the loss of a disk loses accepted"
            " leads"
        )
        yield warn("brokers", f"{len(brokers)}: no record is on three brokers", todo)


async def _check_auto_creation(admin: AIOKafkaAdminClient, cluster: dict[str, Any]) -> CheckResult:
    node = str(cluster["brokers"][0]["node_id"])
    name = "auto.create.topics.enable"
    todo = f"make sure that {name} is false"
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.BROKER, node, {name: None})]
        )
    except KafkaError as error:
        return warn("auto-creation", f"Kafka does not show the setting ({refusal_reason(error)})", todo)
    resources = [resource for answer in answers for resource in answer.resources]
    values = {entry[0]: entry[1] for resource in resources for entry in resource[4] or ()}
    if name not in values:
        return warn("auto-creation", "Kafka does not show the setting", todo)
    if values[name] == "true":
        return warn("auto-creation", "on: a misspelt topic is created", f"set {name}=false on the brokers")
    return ok("auto-creation", "off")


def _check_topics(
    kafka: Kafka, described: Mapping[str, Any], configs: Mapping[str, Mapping[str, str]], replication: int
) -> Iterator[CheckResult]:
    good = 0
    for topic in topics.ALL:
        name = kafka.topic_prefix + topic.name
        if name not in described:
            yield fail("topics", f"{name} does not exist", REPAIR)
            continue
        partitions = described[name]["partitions"]
        shortcomings = _find_shortcomings(topic, partitions, configs.get(name, {}), replication)
        behind = [p["partition"] for p in partitions if len(p["isr"]) < len(p["replicas"])]
        if shortcomings:
            todo = REPAIR
            if "unclean.leader.election.enable is true" in shortcomings:
                todo += "; kafka-configs.sh --alter --delete-config unclean.leader.election.enable"
            yield fail("topics", f"{name}: {'; '.join(shortcomings)}", todo)
        elif behind:
            todo = "wait if a broker is catching up; start it if it is unavailable"
            yield warn("topics", f"{name}: replicas of partitions {behind} are behind", todo)
        else:
            good += 1
    if good == len(topics.ALL):
        yield ok("topics", f"all {good} as declared in contracts/topics.py")


def _check_unreadable_settings(settings: Mapping[str, TopicSettings]) -> Iterator[CheckResult]:
    """Warn of each topic for which Kafka does not show the retention or min.insync.replicas."""
    for name, topic in settings.items():
        hidden = {"retention.ms", "min.insync.replicas"} - topic.effective.keys()
        if hidden:
            reason = topic.refused or "its answer does not contain them"
            seen = f"{name}: Kafka does not show {' and '.join(sorted(hidden))} ({reason})"
            yield warn("topics", seen, "check them yourself, or allow DescribeConfigs on the topic")


def _find_shortcomings(
    topic: topics.Topic, partitions: list[Any], config: Mapping[str, str], replication: int
) -> list[str]:
    """Return a phrase for each point in which a topic falls short of its declaration.

    `config` holds the topic's present settings, as far as Kafka shows them.
    """
    replicas = min(len(partition["replicas"]) for partition in partitions)
    declared = topic.config() | {"min.insync.replicas": str(min_insync(replication))}
    shortcomings = [
        f"{key} is {config[key]}, not {value}"
        for key, value in declared.items()
        if key in config and is_insufficient(key, config[key], value)
    ]
    if len(partitions) < topic.partitions:
        shortcomings.append(f"{len(partitions)} partitions, not {topic.partitions}")
    if replicas < replication:
        shortcomings.append(f"{replicas} of {replication} replicas")
    if int(config.get("min.insync.replicas", "1")) > replicas:
        shortcomings.append(f"min.insync.replicas is {config['min.insync.replicas']}, of {replicas} replicas")
    if config.get("unclean.leader.election.enable") == "true":
        shortcomings.append("unclean.leader.election.enable is true")
    return shortcomings


def _check_offsets_topic(described: Mapping[str, Any], replication: int) -> CheckResult:
    """Check that the topic with the groups' committed offsets has enough replicas.

    If this topic is unavailable, no consumer can continue.
    """
    if OFFSETS_TOPIC not in described:
        return ok("offsets-topic", f"{OFFSETS_TOPIC} does not exist yet: the first consumer creates it")
    partitions = described[OFFSETS_TOPIC]["partitions"]
    fewest = min(len(partition["replicas"]) for partition in partitions)
    if fewest < replication:
        seen = f"{OFFSETS_TOPIC}: {fewest} of {replication} replicas: losing one broker stops all consumers"
        todo = f"{REPAIR} (with a topic prefix: kafka-reassign-partitions.sh)"
        return fail("offsets-topic", seen, todo)
    return ok("offsets-topic", f"{fewest} replicas of {OFFSETS_TOPIC}")

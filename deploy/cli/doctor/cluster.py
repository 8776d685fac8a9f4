"""Checks of Kafka's brokers and topics: who answers, and where each record is. Groups are `broker`'s part."""

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
from deploy.cli.doctor.broker import examine_group
from deploy.cli.doctor.check_result import Finding, fail, is_this_machine, ok, warn
from deploy.cli.kafka_refusals import explain
from deploy.cli.topic_provisioning import OFFSETS_TOPIC
from deploy.cli.topic_settings import TopicSettings, falls_short, min_insync, read_settings
from runtime.kafka.clients import diagnose_connection
from runtime.settings import Kafka

SECONDS: Final = 10.0
REPAIR: Final = "python -m deploy.cli.topics"


async def examine_kafka(kafka: Kafka, replication: int) -> AsyncIterator[Finding]:
    """Reach it, then look at brokers, topics and groups. Ends early where nothing further can be asked."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=kafka.bootstrap_servers,
        client_id="fastcore-doctor",
        request_timeout_ms=int(SECONDS * 1000),
        **parse_security(kafka.security()),
    )
    try:
        await asyncio.wait_for(admin.start(), SECONDS)
        async with asyncio.timeout(2 * SECONDS):
            cluster = await admin.describe_cluster()
            described = {found["topic"]: found for found in await admin.describe_topics()}
            brokers = {each["node_id"]: f"{each['host']}:{each['port']}" for each in cluster["brokers"]}
            yield ok("kafka", f"{len(brokers)} brokers answer" if len(brokers) > 1 else "1 broker answers")
            yield _encrypted(kafka)
            for finding in [
                *await _addresses(kafka, brokers),
                *_brokers(kafka, described, brokers, replication),
            ]:
                yield finding
            yield await _auto_creation(admin, cluster)
            wanted = [kafka.topic_prefix + topic.name for topic in topics.ALL]
            found = await read_settings(admin, [name for name in wanted if name in described])
            for finding in _unread(found):
                yield finding
            configs = {name: each.effective for name, each in found.items()}
            for finding in _topics(kafka, described, configs, replication):
                yield finding
            yield _offsets_topic(described, replication)
            for service, group in (await read_groups(admin, kafka.topic_prefix)).items():
                yield examine_group(kafka, service, group)
    except (KafkaError, OSError, TimeoutError) as error:
        reason = await diagnose_connection(kafka)
        yield fail(
            "kafka",
            f"{reason} ({type(error).__name__}), asked {kafka.bootstrap_servers}",
            "check KAFKA_BOOTSTRAP_SERVERS and the settings beside it: docs/managed-services.md",
        )
    finally:
        await asyncio.wait_for(admin.close(), SECONDS)


def _encrypted(kafka: Kafka) -> Finding:
    hosts = [each.strip().rpartition(":")[0] for each in kafka.bootstrap_servers.split(",")]
    if "SSL" in kafka.security_protocol.replace("SASL", ""):
        return ok("kafka-tls", kafka.security_protocol)
    if all(is_this_machine(host) for host in hosts):
        return ok("kafka-tls", "not needed: the same machine")
    todo = "KAFKA_SECURITY_PROTOCOL=SASL_SSL, unless this network is this machine's own (compose)"
    return warn("kafka-tls", f"{kafka.security_protocol}: no TLS", todo)


async def _addresses(kafka: Kafka, brokers: Mapping[int, str]) -> list[Finding]:
    """Connect to each bootstrap server, and to each broker at the address that it names."""
    servers = [each.strip() for each in kafka.bootstrap_servers.split(",")]
    silent = await _silent(kafka, {*servers, *brokers.values()})
    found = [
        warn(
            "bootstrap",
            f"{server} does not answer ({len(servers)} in KAFKA_BOOTSTRAP_SERVERS)",
            "start that broker, or take it out of the list: with the others away nobody could connect",
        )
        for server in servers
        if server in silent
    ]
    found += [
        fail(
            "bootstrap",
            f"broker {node} names the address {address}, which does not answer from here",
            "is it down? If not, correct its advertised.listeners",
        )
        for node, address in brokers.items()
        if address in silent
    ]
    return found or [ok("bootstrap", f"all {len(servers)} servers and {len(brokers)} brokers answer")]


async def _silent(kafka: Kafka, addresses: set[str]) -> set[str]:
    async def answers(address: str) -> bool:
        host, _, port = address.rpartition(":")
        with suppress(KafkaError, OSError, TimeoutError, ValueError):
            options = parse_security(kafka.security())
            (await asyncio.wait_for(create_conn(host, int(port), **options), SECONDS / 2)).close()
            return True
        return False

    named = sorted(addresses)
    return {
        each
        for each, is_there in zip(named, await asyncio.gather(*map(answers, named)), strict=True)
        if not is_there
    }


def _brokers(
    kafka: Kafka, described: Mapping[str, Any], brokers: Mapping[int, str], replication: int
) -> Iterator[Finding]:
    """Name the brokers that have replicas and do not answer; else say how many may fail."""
    ours = {kafka.topic_prefix + topic.name for topic in topics.ALL} | {OFFSETS_TOPIC}
    placed = [
        (name, partition)
        for name, topic in described.items()
        if name in ours
        for partition in topic["partitions"]
    ]
    away = {node for _, partition in placed for node in partition["replicas"]} - brokers.keys()
    for node in sorted(away):
        there = [(name, part) for name, part in placed if node in part["replicas"]]
        leaderless = sum(part["leader"] < 0 for _, part in there)
        seen = f"broker {node} is away: it has replicas of {len(there)} partitions"
        seen += f" in {len({name for name, _ in there})} topics"
        if leaderless:
            seen += f", and {leaderless} of them nobody else to write to"
        yield fail("brokers", seen, "start it; until then a further broker may not fail")
    if away:
        return
    if len(brokers) < replication:
        todo = "start the others, or set FASTCORE_KAFKA_REPLICATION to how many there are to be"
        yield fail("brokers", f"{len(brokers)} of {replication} (FASTCORE_KAFKA_REPLICATION)", todo)
    elif min_insync(replication) > 1:
        yield ok("brokers", f"{len(brokers)}: one may fail")
    else:
        todo = "three brokers, FASTCORE_KAFKA_REPLICATION=3; else a 201 survives no loss of a disk"
        yield warn("brokers", f"{len(brokers)}: no record is on three of them", todo)


async def _auto_creation(admin: AIOKafkaAdminClient, cluster: dict[str, Any]) -> Finding:
    node = str(cluster["brokers"][0]["node_id"])
    name = "auto.create.topics.enable"
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.BROKER, node, {name: None})]
        )
    except KafkaError as error:
        return warn("auto-creation", f"Kafka does not tell ({explain(error)})", f"see that {name} is false")
    found = [each for answer in answers for each in answer.resources]
    values = {entry[0]: entry[1] for each in found for entry in each[4] or ()}
    if name not in values:
        return warn("auto-creation", "Kafka does not tell", f"see that {name} is false")
    if values[name] == "true":
        return warn("auto-creation", "on: a misspelt topic appears", f"{name}=false on the brokers")
    return ok("auto-creation", "off")


def _topics(
    kafka: Kafka, described: Mapping[str, Any], configs: Mapping[str, Mapping[str, str]], replication: int
) -> Iterator[Finding]:
    good = 0
    for topic in topics.ALL:
        name = kafka.topic_prefix + topic.name
        if name not in described:
            yield fail("topics", f"{name} is not there", REPAIR)
            continue
        partitions = described[name]["partitions"]
        wrong = _shortcomings(topic, partitions, configs.get(name, {}), replication)
        behind = [p["partition"] for p in partitions if len(p["isr"]) < len(p["replicas"])]
        if wrong:
            todo = REPAIR
            if "unclean.leader.election.enable is true" in wrong:
                todo += "; kafka-configs.sh --alter --delete-config unclean.leader.election.enable"
            yield fail("topics", f"{name}: {'; '.join(wrong)}", todo)
        elif behind:
            yield warn(
                "topics", f"{name}: replicas of {behind} are behind", "is a broker away, or catching up?"
            )
        else:
            good += 1
    if good == len(topics.ALL):
        yield ok("topics", f"all {good} as declared in contracts/topics.py")


def _unread(found: Mapping[str, TopicSettings]) -> Iterator[Finding]:
    """Name the topics whose settings Kafka does not show, or not all of those that keep leads."""
    for name, settings in found.items():
        lacking = {"retention.ms", "min.insync.replicas"} - settings.effective.keys()
        if lacking:
            why = settings.refused or "no such setting in its answer"
            seen = f"{name}: Kafka does not show {' and '.join(sorted(lacking))} ({why})"
            yield warn("topics", seen, "check them yourself, or allow DescribeConfigs on the topic")


def _shortcomings(
    topic: topics.Topic, partitions: list[Any], config: Mapping[str, str], replication: int
) -> list[str]:
    """Say where a topic falls short of what is declared."""
    replicas = min(len(partition["replicas"]) for partition in partitions)
    declared = topic.config() | {"min.insync.replicas": str(min_insync(replication))}
    wrong = [
        f"{key} is {config[key]}, not {value}"
        for key, value in declared.items()
        if key in config and falls_short(key, config[key], value)
    ]
    if len(partitions) < topic.partitions:
        wrong.append(f"{len(partitions)} partitions, not {topic.partitions}")
    if replicas < replication:
        wrong.append(f"{replicas} of {replication} replicas")
    if int(config.get("min.insync.replicas", "1")) > replicas:
        wrong.append(f"min.insync.replicas is {config['min.insync.replicas']}, of {replicas} replicas")
    if config.get("unclean.leader.election.enable") == "true":
        wrong.append("unclean.leader.election.enable is true")
    return wrong


def _offsets_topic(described: Mapping[str, Any], replication: int) -> Finding:
    """Look at where groups keep their offsets: without it no consumer goes on."""
    if OFFSETS_TOPIC not in described:
        return ok("offsets-topic", f"{OFFSETS_TOPIC} is not there yet: the first consumer makes it")
    partitions = described[OFFSETS_TOPIC]["partitions"]
    fewest = min(len(partition["replicas"]) for partition in partitions)
    if fewest < replication:
        seen = f"{OFFSETS_TOPIC}: {fewest} of {replication} replicas: losing one broker stops all consumers"
        todo = f"{REPAIR} (with a topic prefix: kafka-reassign-partitions.sh)"
        return fail("offsets-topic", seen, todo)
    return ok("offsets-topic", f"{fewest} replicas of {OFFSETS_TOPIC}")

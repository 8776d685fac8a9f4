"""Checks of Kafka: brokers, topics, groups, and whether the books go as far as the groups."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security

from contracts import topics
from contracts.leads import LeadReceived
from deploy.doctor.finding import Finding, fail, is_this_machine, ok, warn
from deploy.groups import CONSUMERS, Group, read_groups
from deploy.places import read_positions
from deploy.topics import REPLICATION
from runtime.kafka import why_not
from runtime.lag import lag
from runtime.postgres import Pool, transaction
from runtime.reader import open_reader
from runtime.settings import Kafka

SECONDS: Final = 10.0
LAG_TO_LOOK_AT: Final = 1000  # as the alert LagGrowing
SKEW_SECONDS: Final = 5.0
RESTORED_TODO: Final = (
    "restored, or failed over? The services repair it within a minute: docs/runbooks/LedgerRewound.md"
)


async def examine_kafka(kafka: Kafka) -> AsyncIterator[Finding]:
    """Reach it, then look at brokers, topics and groups. Ends early where nothing further can be asked."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=kafka.bootstrap_servers,
        client_id="fastcore-doctor",
        request_timeout_ms=int(SECONDS * 1000),
        **parse_security(kafka.security()),
    )
    try:
        await asyncio.wait_for(admin.start(), SECONDS)
        async with asyncio.timeout(SECONDS):
            cluster = await admin.describe_cluster()
            brokers = len(cluster["brokers"])
            yield ok("kafka", f"{brokers} brokers answer" if brokers > 1 else "1 broker answers")
            yield _encrypted(kafka)
            yield _enough(brokers)
            yield await _auto_creation(admin, cluster)
            described = {found["topic"]: found for found in await admin.describe_topics()}
            configs = await _topic_configs(admin, kafka, described)
            for finding in _topics(kafka, described, configs, brokers):
                yield finding
            for service, group in (await read_groups(admin, kafka.topic_prefix)).items():
                yield _group(kafka, service, group)
    except (KafkaError, OSError, TimeoutError) as error:
        reason = await why_not(kafka)
        yield fail(
            "kafka",
            f"{reason} ({type(error).__name__})",
            "check KAFKA_BOOTSTRAP_SERVERS and the settings beside it: docs/managed-services.md",
        )
    finally:
        await asyncio.wait_for(admin.close(), SECONDS)


async def count_members(kafka: Kafka) -> int:
    """Return how many consumers there are; 0 where Kafka does not say."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, **parse_security(kafka.security()))
    try:
        async with asyncio.timeout(SECONDS):
            await admin.start()
            groups = await read_groups(admin, kafka.topic_prefix)
        # A flusher holds as many connections again (services.flusher.lanes.CONNECTIONS).
        return sum(group.members for group in groups.values()) + groups["flusher"].members
    except (KafkaError, OSError, TimeoutError):
        return 0
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


def _enough(brokers: int) -> Finding:
    if brokers >= REPLICATION:
        return ok("brokers", f"{brokers}: one may fail")
    todo = "three brokers; with fewer a 201 survives the death of a process, not the loss of a disk"
    return warn("brokers", f"{brokers}: nothing is replicated", todo)


async def _auto_creation(admin: AIOKafkaAdminClient, cluster: dict[str, Any]) -> Finding:
    node = str(cluster["brokers"][0]["node_id"])
    name = "auto.create.topics.enable"
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, node, {name: None})])
    values = {entry[0]: entry[1] for answer in answers for found in answer.resources for entry in found[4]}
    if name not in values:
        return warn("auto-creation", "Kafka does not tell", f"see that {name} is false")
    if values[name] == "true":
        return warn("auto-creation", "on: a misspelt topic appears", f"{name}=false on the brokers")
    return ok("auto-creation", "off")


async def _topic_configs(
    admin: AIOKafkaAdminClient, kafka: Kafka, described: dict[str, Any]
) -> dict[str, dict[str, str]]:
    wanted = [kafka.topic_prefix + topic.name for topic in topics.ALL]
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted if name in described]
    answers = await admin.describe_configs(resources) if resources else []
    return {
        found[3]: {entry[0]: entry[1] for entry in found[4]}
        for answer in answers
        for found in answer.resources
    }


def _topics(
    kafka: Kafka, described: dict[str, Any], configs: dict[str, dict[str, str]], brokers: int
) -> Iterator[Finding]:
    good = 0
    for topic in topics.ALL:
        name = kafka.topic_prefix + topic.name
        if name not in described:
            yield fail("topics", f"{name} is not there", "python -m deploy.topics")
            continue
        partitions, config = described[name]["partitions"], configs.get(name, {})
        wrong = [
            f"{key} is {config[key]}, not {value}"
            for key, value in topic.config().items()
            if key in config and config[key] != value
        ]
        if len(partitions) != topic.partitions:
            wrong.append(f"{len(partitions)} partitions, not {topic.partitions}")
        if config.get("unclean.leader.election.enable") == "true":
            wrong.append("unclean.leader.election.enable is true")
        replicas = min(len(partition["replicas"]) for partition in partitions)
        if brokers >= REPLICATION and replicas < REPLICATION:
            wrong.append(f"{replicas} replicas, not {REPLICATION}")
        if brokers >= REPLICATION and config.get("min.insync.replicas", "2") != "2":
            wrong.append(f"min.insync.replicas is {config['min.insync.replicas']}, not 2")
        if wrong:
            todo = "kafka-configs.sh --alter, or kafka-reassign-partitions.sh for replicas"
            yield fail("topics", f"{name}: {'; '.join(wrong)}", todo)
        elif behind := [p["partition"] for p in partitions if len(p["isr"]) < len(p["replicas"])]:
            yield warn("topics", f"{name}: replicas of {behind} are behind", "is a broker away?")
        else:
            good += 1
    if good == len(topics.ALL):
        yield ok("topics", f"all {good} as declared in contracts/topics.py")


def _group(kafka: Kafka, service: topics.Service, group: Group) -> Finding:
    if not group.members:
        return fail("groups", f"{group.name} has no member", f"start the {service}")
    wanted = {
        TopicPartition(kafka.topic_prefix + name, number)
        for name in topics.consumed_by(service)
        for number in range(topics.PARTITIONS)
    }
    if left := wanted - group.assigned:
        todo = "within a minute after a change of members; else docs/runbooks/OldestLeadWaiting.md"
        return fail("groups", f"{group.name}: nobody reads {len(left)} partitions", todo)
    return ok("groups", f"{group.name}: {group.members} members read all {len(wanted)} partitions")


async def examine_places(kafka: Kafka, pool: Pool) -> AsyncIterator[Finding]:
    """Compare groups with logs (lag), and with the books: behind them they are after a restore only."""
    for service in CONSUMERS:
        async with open_reader(kafka, topics.GROUPS[service]) as consumer, transaction(pool) as connection:
            positions = (await read_positions(kafka, consumer, connection, service)).values()
        records = sum(lag(each.committed, each.start, each.end) for each in positions)
        seen = f"{service}: {records} records"
        if records > LAG_TO_LOOK_AT:
            yield warn("lag", seen, "docs/runbooks/LagGrowing.md")
        else:
            yield ok("lag", seen)
        behind = [each for each in positions if each.is_another_log or each.behind]
        if behind:
            yield fail("books", f"{service}: behind Kafka in {len(behind)} partitions", RESTORED_TODO)
        else:
            yield ok("books", f"{service}: as far as its group")


async def examine_broker_clock(kafka: Kafka) -> AsyncIterator[Finding]:
    """Compare the broker's stamp on the newest lead with the gateway's, and with the time here."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        enable_auto_commit=False,
        **parse_security(kafka.security()),
    )
    try:
        async with asyncio.timeout(SECONDS):
            await consumer.start()
            newest = await _newest(consumer, kafka.topic_prefix + topics.RECEIVED.name)
    finally:
        await asyncio.wait_for(consumer.stop(), SECONDS)
    if newest is None:
        yield ok("clocks", "no lead yet to read the broker's clock from")
        return
    ahead = newest.timestamp / 1000 - time.time()
    try:
        behind = LeadReceived.model_validate_json(newest.value or b"").occurred_at.timestamp()
        behind -= newest.timestamp / 1000
    except ValueError:
        behind = 0.0
    if ahead > SKEW_SECONDS:
        yield fail("clocks", f"the broker is {ahead:.0f} s ahead of here", "run NTP on both")
    elif behind > SKEW_SECONDS:
        yield fail("clocks", f"the broker is {behind:.0f} s behind the gateway", "run NTP on both")
    else:
        yield ok("clocks", "the broker's stamp on the newest lead fits the gateway's")


async def _newest(consumer: Any, topic: str) -> Any:
    partitions = [TopicPartition(topic, number) for number in range(topics.PARTITIONS)]
    consumer.assign(partitions)
    starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    filled = [each for each in partitions if ends[each] > starts[each]]
    newest: Any = None
    for each in filled:
        consumer.seek(each, ends[each] - 1)
        found = await consumer.getmany(each, timeout_ms=2000, max_records=1)
        for records in found.values():
            if newest is None or records[-1].timestamp > newest.timestamp:
                newest = records[-1]
    return newest

"""Checks of Kafka's groups and clock, and whether the books go as far as the groups."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security

from contracts import topics
from contracts.leads import LeadReceived
from deploy.cli.consumer_groups import CONSUMERS, Group, read_groups
from deploy.cli.doctor.check_result import Finding, fail, ok, warn
from deploy.cli.kafka_refusals import explain
from deploy.cli.partition_offsets import read_positions
from runtime.database.postgres import Pool, transaction
from runtime.kafka.lag import lag
from runtime.kafka.log_reader import assign_all_partitions, open_reader
from runtime.settings import Kafka

SECONDS: Final = 10.0
LAG_TO_LOOK_AT: Final = 1000  # as the alert LagGrowing
SKEW_SECONDS: Final = 5.0
RESTORED_TODO: Final = (
    "restored, or failed over? The services repair it within a minute: docs/runbooks/LedgerRewound.md"
)


async def count_members(kafka: Kafka) -> int:
    """Return how many consumers there are; 0 where Kafka does not say."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, **parse_security(kafka.security()))
    try:
        async with asyncio.timeout(SECONDS):
            await admin.start()
            groups = await read_groups(admin, kafka.topic_prefix)
        # A flusher holds as many connections again (services.flusher.retries.lanes.CONNECTIONS).
        return sum(group.members for group in groups.values()) + groups["flusher"].members
    except (KafkaError, OSError, TimeoutError):
        return 0
    finally:
        await asyncio.wait_for(admin.close(), SECONDS)


def examine_group(kafka: Kafka, service: topics.Service, group: Group) -> Finding:
    """Look whether a group has members, and whether they read all of its partitions."""
    if group.refused:
        todo = "allow Describe on this group, or look at its lag in the dashboard"
        return warn("groups", f"{group.name}: Kafka does not show its members ({group.refused})", todo)
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
        try:
            async with (
                open_reader(kafka, topics.GROUPS[service]) as consumer,
                transaction(pool) as connection,
            ):
                positions = (await read_positions(kafka, consumer, connection, service)).values()
        except KafkaError as error:
            seen = f"{service}: Kafka does not show where its group is ({explain(error)})"
            yield warn("lag", seen, "allow Describe on this group, and Read on its topics")
            continue
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
    except KafkaError as error:
        seen = f"Kafka does not show the newest lead ({explain(error)})"
        yield warn("clocks", seen, "allow Read on the topic, or compare the broker's clock with NTP yourself")
        return
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
    partitions = await assign_all_partitions(consumer, topic)
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

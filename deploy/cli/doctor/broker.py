"""Checks Kafka's consumer groups and clock, and compares the ledger with the groups' offsets."""

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
from deploy.cli.doctor.check_result import CheckResult, fail, ok, warn
from deploy.cli.kafka_errors import refusal_reason
from deploy.cli.partition_offsets import read_stage_positions
from runtime.database.postgres import Pool, transaction
from runtime.kafka.log_reader import assign_all_partitions, open_reader
from runtime.kafka.positions import lag
from runtime.settings import Kafka

TIMEOUT_SECONDS: Final = 10.0
MAX_LAG: Final = 1000  # as the alert LagGrowing
MAX_SKEW_SECONDS: Final = 5.0
RESTORED_TODO: Final = (
    "after a restore or a failover the services repair this within a minute: docs/runbooks/LedgerRewound.md"
)


async def count_members(kafka: Kafka) -> int:
    """Return the number of consumers in all groups. It is used to estimate the database connections.

    Each flusher counts twice, because it opens twice as many connections as another service. Returns 0 if
    Kafka does not show the groups.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, **parse_security(kafka.security()))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await admin.start()
            groups = await read_groups(admin, kafka.topic_prefix)
        # A flusher opens twice as many connections (services.flusher.retries.target_sender.CONNECTIONS).
        return sum(group.members for group in groups.values()) + groups["flusher"].members
    except (KafkaError, OSError, TimeoutError):
        return 0
    finally:
        await asyncio.wait_for(admin.close(), TIMEOUT_SECONDS)


def check_group(kafka: Kafka, service: topics.Service, group: Group) -> CheckResult:
    """Check that a group has members, and that they read all of its partitions."""
    if group.refused:
        todo = "allow Describe on this group, or check its lag in the dashboard"
        return warn("groups", f"{group.name}: Kafka does not show its members ({group.refused})", todo)
    if not group.members:
        return fail("groups", f"{group.name} has no member", f"start the {service}")
    expected = {
        TopicPartition(kafka.topic_prefix + name, number)
        for name in topics.consumed_by(service)
        for number in range(topics.PARTITIONS)
    }
    if unread := expected - group.assigned:
        todo = "normal for a minute after members join or leave; otherwise docs/runbooks/OldestLeadWaiting.md"
        return fail("groups", f"{group.name}: no member reads {len(unread)} partitions", todo)
    return ok("groups", f"{group.name}: {group.members} members read all {len(expected)} partitions")


async def check_offsets(kafka: Kafka, pool: Pool) -> AsyncIterator[CheckResult]:
    """Check each group's lag. Check that the ledger has counted all records that the group has committed.

    If the ledger lacks records, the database was restored or has failed over, or Kafka's log was replaced.
    """
    for service in CONSUMERS:
        try:
            async with (
                open_reader(kafka, topics.GROUPS[service]) as consumer,
                transaction(pool) as connection,
            ):
                positions = (await read_stage_positions(kafka, consumer, connection, service)).values()
        except KafkaError as error:
            seen = f"{service}: Kafka does not show its group's offsets ({refusal_reason(error)})"
            yield warn("lag", seen, "allow Describe on this group, and Read on its topics")
            continue
        records = sum(lag(each.committed, each.start, each.end) for each in positions)
        seen = f"{service}: {records} records"
        if records > MAX_LAG:
            yield warn("lag", seen, "docs/runbooks/LagGrowing.md")
        else:
            yield ok("lag", seen)
        behind = [each for each in positions if each.is_another_log or each.behind]
        if behind:
            seen = f"{service}: the ledger is behind Kafka in {len(behind)} partitions"
            yield fail("books", seen, RESTORED_TODO)
        else:
            yield ok("books", f"{service}: the ledger has reached the group's offsets")


async def check_broker_clock(kafka: Kafka) -> AsyncIterator[CheckResult]:
    """Compare the broker's clock with the clocks of the gateway and of this machine.

    The newest lead in Kafka has two timestamps: the broker's in the record, and the gateway's in the lead
    itself.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        enable_auto_commit=False,
        **parse_security(kafka.security()),
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await consumer.start()
            newest = await _read_newest_record(consumer, kafka.topic_prefix + topics.RECEIVED.name)
    except KafkaError as error:
        seen = f"Kafka does not show the newest lead ({refusal_reason(error)})"
        yield warn("clocks", seen, "allow Read on the topic, or compare the broker's clock with NTP yourself")
        return
    finally:
        await asyncio.wait_for(consumer.stop(), TIMEOUT_SECONDS)
    if newest is None:
        yield ok("clocks", "no lead yet from which to read the broker's clock")
        return
    ahead = newest.timestamp / 1000 - time.time()
    try:
        behind = LeadReceived.model_validate_json(newest.value or b"").occurred_at.timestamp()
        behind -= newest.timestamp / 1000
    except ValueError:
        behind = 0.0
    if ahead > MAX_SKEW_SECONDS:
        yield fail("clocks", f"the broker is {ahead:.0f} s ahead of this machine", "run NTP on both")
    elif behind > MAX_SKEW_SECONDS:
        yield fail("clocks", f"the broker is {behind:.0f} s behind the gateway", "run NTP on both")
    else:
        yield ok("clocks", "the broker's timestamp of the newest lead matches the gateway's")


async def _read_newest_record(consumer: Any, topic: str) -> Any:
    """Read the last record of each partition. Return the one with the latest timestamp, or None."""
    partitions = await assign_all_partitions(consumer, topic)
    starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    newest: Any = None
    for partition in (each for each in partitions if ends[each] > starts[each]):
        consumer.seek(partition, ends[partition] - 1)
        batches = await consumer.getmany(partition, timeout_ms=2000, max_records=1)
        for records in batches.values():
            if newest is None or records[-1].timestamp > newest.timestamp:
                newest = records[-1]
    return newest

"""Reads the consumer groups from Kafka: their lag, and whether members read all partitions."""

import asyncio
import contextlib
from contextlib import aclosing
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security

from deploy.cli.consumer_groups import read_groups
from deploy.cli.doctor.broker import MAX_LAG, check_group
from deploy.cli.doctor.check_result import CheckResult, fail, ok, warn
from runtime.failures import DependencyUnavailable
from runtime.settings import Kafka
from services.admin.monitoring.consumer_lag import LagReader, Lags

TIMEOUT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0


async def read_kafka(kafka: Kafka) -> list[CheckResult]:
    """Return whether Kafka answers, and the lag and the members of each group."""
    try:
        lags = await _read_lags(kafka)
    except DependencyUnavailable as error:
        seen = f"{kafka.bootstrap_servers}: {error.reason}; the lag is not known"
        return [fail("kafka", seen, "start or restore Kafka; until then leads wait in the gateways' spools")]
    results = [ok("kafka", f"{kafka.bootstrap_servers}: answers")]
    results += [_check_lag(group, by_topic) for group, by_topic in lags.items()]
    members = await _check_members(kafka)
    faults = [each for each in members if each.level != "ok"]
    return results + (faults or [ok("groups", "members read all partitions of each group")])


async def _read_lags(kafka: Kafka) -> Lags:
    async with aclosing(LagReader(kafka)) as lag:
        try:
            return await lag.read()
        except DependencyUnavailable:
            # The first read includes the connection, which on a busy machine takes most of its time.
            return await lag.read()


def _check_lag(group: str, by_topic: dict[str, int]) -> CheckResult:
    topics_behind = ", ".join(f"{topic} {records}" for topic, records in by_topic.items() if records)
    seen = f"{group}: {sum(by_topic.values())} records wait" + (
        f" ({topics_behind})" if topics_behind else ""
    )
    if max(by_topic.values(), default=0) > MAX_LAG:
        return warn("lag", seen, "docs/runbooks/LagGrowing.md")
    return ok("lag", seen)


async def _check_members(kafka: Kafka) -> list[CheckResult]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, **parse_security(kafka.security()))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await admin.start()
            groups = await read_groups(admin, kafka.topic_prefix)
    except (KafkaError, OSError, TimeoutError) as error:
        return [warn("groups", f"not read: {type(error).__name__}", "run it again")]
    finally:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(admin.close(), CLOSE_SECONDS)
    return [check_group(kafka, service, group) for service, group in groups.items()]

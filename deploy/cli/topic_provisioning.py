"""Creates and repairs topics, so that each has at least what `contracts/topics.py` declares.

A topic may have a longer retention, more partitions or more replicas than declared. Only one value is ever
lowered: a min.insync.replicas that is above the number of replicas. With such a value, Kafka refuses every
record. If Kafka refuses a repair (missing rights, a policy of a managed cluster), the result contains a
warning.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from faststream.kafka.security import parse_security

from contracts import topics
from deploy.cli.kafka_errors import refusal_reason, refusal_reason_of_code
from deploy.cli.topic_settings import min_insync, repair_settings
from runtime.settings import Kafka

# Kafka's own topic for the groups' committed offsets. With one replica, the loss of its broker stops or
# resets every consumer.
OFFSETS_TOPIC: Final = "__consumer_offsets"
BROKERS_SECONDS: Final = 60.0
# Kafka copies the whole partition to a new replica. A topic of some gigabytes takes minutes.
COPY_SECONDS: Final = 300.0
POLL_SECONDS: Final = 1.0

# Topic and partition number -> the brokers that have the partition, the preferred leader first.
Layout: TypeAlias = Mapping[tuple[str, int], Sequence[int]]


class ProvisionError(Exception):
    """The topics cannot be created as declared. The message says what to do."""


@asynccontextmanager
async def open_admin(settings: Kafka, client_id: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect an admin client, and close it at the end of the block. Raises aiokafka's errors."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.bootstrap_servers,
        client_id=client_id,
        request_timeout_ms=20_000,
        **parse_security(settings.security()),
    )
    try:
        await asyncio.wait_for(admin.start(), 20)
        yield admin
    finally:
        await asyncio.wait_for(admin.close(), 10)


async def provision(settings: Kafka, replication: int = 1) -> list[str]:
    """Create and repair the topics. Return a line for each change, and for each repair that Kafka refused.

    The line of a refused repair begins with "warning: ". Raises `ProvisionError` if too few brokers answer or
    a repair takes too long. Also raises aiokafka's errors.
    """
    prefix = settings.topic_prefix
    async with open_admin(settings, "fastcore-topics") as admin:
        brokers = await _wait_for_brokers(admin, replication)
        existing = await admin.list_topics()
        missing = [topic for topic in topics.ALL if prefix + topic.name not in existing]
        if missing:
            await _create_topics(admin, missing, prefix, replication)
        lines = [f"created {prefix}{topic.name}" for topic in missing]
        present = [prefix + topic.name for topic in topics.ALL if topic not in missing]
        if present:
            changes, lacking = await _add_replicas(admin, present, brokers, replication)
            lines += changes
            # After the replicas, because Kafka gives new partitions as many replicas as the others have.
            lines += await _add_partitions(admin, prefix, present)
            # Last, because min.insync.replicas depends on the number of replicas.
            declared = {prefix + topic.name: topic.config() for topic in topics.ALL}
            replicas = _count_fewest_replicas(await read_layout(admin, present))
            lines += await repair_settings(
                admin, {name: declared[name] for name in present}, replicas, replication, lacking=lacking
            )
        # A prefix means a shared cluster, whose operator owns the offsets topic.
        if OFFSETS_TOPIC in existing and not prefix:
            lines += (await _add_replicas(admin, [OFFSETS_TOPIC], brokers, replication))[0]
        return lines


async def _wait_for_brokers(admin: AIOKafkaAdminClient, replication: int) -> list[int]:
    """Return the ids of the brokers as soon as at least `replication` brokers answer.

    Raises `ProvisionError` if fewer brokers answer within a minute.
    """
    deadline = asyncio.get_running_loop().time() + BROKERS_SECONDS
    while True:
        brokers = list[int]()
        with suppress(KafkaError):  # the client may query a broker that has just stopped
            brokers = sorted(each["node_id"] for each in (await admin.describe_cluster())["brokers"])
        if len(brokers) >= replication:
            return brokers
        if asyncio.get_running_loop().time() > deadline:
            raise ProvisionError(
                f"{len(brokers)} of {replication} brokers answered within {BROKERS_SECONDS:.0f} s"
                f" (ids: {', '.join(map(str, brokers))}). Nothing was created or changed."
                " Start the others, or set FASTCORE_KAFKA_REPLICATION to the number of replicas that you want"
            )
        await asyncio.sleep(POLL_SECONDS)


def plan_replicas(
    layout: Layout, brokers: Sequence[int], replication: int
) -> dict[tuple[str, int], list[int]]:
    """Return the new list of broker ids for each partition that has too few replicas.

    The list begins with the partition's present brokers. The brokers that have the fewest replicas follow.
    """
    load = Counter(dict.fromkeys(brokers, 0))
    load.update(broker for replicas in layout.values() for broker in replicas if broker in load)
    planned = {}
    for partition, replicas in sorted(layout.items()):
        lacking = replication - len(replicas)
        others = sorted(
            (each for each in brokers if each not in replicas), key=lambda each: (load[each], each)
        )
        if lacking > 0:
            planned[partition] = [*replicas, *others[:lacking]]
            load.update(others[:lacking])
    return planned


async def _create_topics(
    admin: AIOKafkaAdminClient, missing: Iterable[topics.Topic], prefix: str, replication: int
) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(
                prefix + topic.name,
                num_partitions=topic.partitions,
                replication_factor=replication,
                topic_configs=topic.config() | {"min.insync.replicas": str(min_insync(replication))},
            )
            for topic in missing
        ],
        timeout_ms=20_000,
    )
    for error in answer.topic_errors:
        error_class = for_code(error[1])
        # Another process may create the same topics at the same moment.
        if error[1] and error_class is not TopicAlreadyExistsError:
            raise error_class(f"{error[0]}: {error[2] if len(error) > 2 else error_class.__name__}")


async def read_layout(admin: AIOKafkaAdminClient, names: list[str], *, of: str = "replicas") -> Layout:
    """Return the ids of the brokers that have a replica, by topic and partition.

    With `of="isr"`, returns only the brokers whose replica is in sync.
    """
    described = await admin.describe_topics(names)
    return {
        (topic["topic"], part["partition"]): part[of] for topic in described for part in topic["partitions"]
    }


def _count_fewest_replicas(layout: Layout) -> dict[str, int]:
    """Return for each topic the lowest number of replicas that any of its partitions has."""
    fewest: dict[str, int] = {}
    for (name, _), replicas in layout.items():
        fewest[name] = min(fewest.get(name, len(replicas)), len(replicas))
    return fewest


async def _add_partitions(admin: AIOKafkaAdminClient, prefix: str, names: list[str]) -> list[str]:
    counts = Counter(name for name, _ in await read_layout(admin, names))
    declared = {prefix + topic.name: topic.partitions for topic in topics.ALL}
    added, lines = dict[str, int](), list[str]()
    for name in names:
        if counts[name] >= declared[name]:
            continue
        try:
            await admin.create_partitions({name: NewPartitions(declared[name])})
        except KafkaError as error:
            lines.append(
                f"warning: Kafka does not allow adding partitions to topic {name} ({refusal_reason(error)}):"
                f" it has {counts[name]} of {declared[name]}, add the others yourself"
            )
        else:
            added[name] = declared[name]
    if not added:
        return lines
    deadline = asyncio.get_running_loop().time() + BROKERS_SECONDS
    while Counter(name for name, _ in await read_layout(admin, list(added))) != added:
        if asyncio.get_running_loop().time() > deadline:
            raise ProvisionError("Kafka does not show the new partitions yet: run this again")
        await asyncio.sleep(POLL_SECONDS)
    return lines + [f"{name}: {counts[name]} partitions, now {total}" for name, total in added.items()]


async def _add_replicas(
    admin: AIOKafkaAdminClient, names: list[str], brokers: list[int], replication: int
) -> tuple[list[str], set[str]]:
    """Add the missing replicas, and wait until they are in sync.

    Returns a line for each topic that was changed or that Kafka refused to change, and the names of the
    refused topics. Raises `ProvisionError` if copying the records takes too long.
    """
    before = await read_layout(admin, names)
    planned = plan_replicas(before, brokers, replication)
    if not planned:
        return [], set()
    moves: dict[str, list[Any]] = {}
    for (name, partition), replicas in planned.items():
        moves.setdefault(name, []).append((partition, replicas, {}))
    request = AlterPartitionReassignmentsRequest(
        20_000, [(name, parts, {}) for name, parts in moves.items()], {}
    )
    refused = await _send_reassignment(admin, request, list(moves))
    fewest = _count_fewest_replicas(before)
    lines = [
        f"warning: Kafka does not allow adding replicas to topic {name} ({why}):"
        f" it has {fewest[name]} of {replication}, add the others yourself"
        for name, why in refused.items()
    ]
    planned = {each: replicas for each, replicas in planned.items() if each[0] not in refused}
    if not planned:
        return lines, set(refused)
    moves = {name: parts for name, parts in moves.items() if name not in refused}
    deadline = asyncio.get_running_loop().time() + COPY_SECONDS
    while True:
        copied = await read_layout(admin, list(moves), of="isr")
        behind = [each for each, replicas in planned.items() if not set(replicas) <= set(copied[each])]
        if not behind:
            lines += [f"{name}: {fewest[name]} replicas, now {replication}" for name in moves]
            return lines, set(refused)
        if asyncio.get_running_loop().time() > deadline:
            raise ProvisionError(
                f"{len(behind)} of {len(planned)} partitions are still being copied to other brokers after"
                f" {COPY_SECONDS:.0f} s. Kafka continues to copy; run this again to finish the other repairs"
            )
        await asyncio.sleep(POLL_SECONDS)


async def _send_reassignment(
    admin: AIOKafkaAdminClient, request: AlterPartitionReassignmentsRequest, names: list[str]
) -> dict[str, str]:
    """Send a request that adds replicas to the topics `names`.

    Returns, by topic, why Kafka refuses the request. Accepted topics are not in the result.
    """
    try:
        answer = await admin._send_to_controller(request)  # noqa: SLF001 - no public method sends this request
    except KafkaError as error:
        return dict.fromkeys(names, refusal_reason(error))
    if answer.error_code:
        return dict.fromkeys(names, refusal_reason_of_code(answer.error_code, answer.error_message))
    return {
        name: refusal_reason_of_code(part[1], part[2])
        for name, parts, _ in answer.responses
        for part in parts
        if part[1]
    }

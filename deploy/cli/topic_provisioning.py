"""Makes the topics what `contracts/topics.py` declares: creates what is missing, repairs what falls short.

Nothing is ever lowered: a longer retention, more partitions or more replicas than declared stay.
What Kafka refuses to repair (rights, policies of a managed cluster) is a warning: the topic works as it is.
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
from deploy.cli.kafka_refusals import explain, explain_code
from deploy.cli.topic_settings import min_insync, repair_settings
from runtime.settings import Kafka

# Where groups keep their offsets: with one replica, losing its broker stops or resets every consumer.
OFFSETS_TOPIC: Final = "__consumer_offsets"
BROKERS_SECONDS: Final = 60.0
# A new replica has to be copied; a topic of some gigabytes takes minutes.
COPY_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 1.0

# A topic and the number of a partition, and the brokers that have it, its preferred leader first.
Layout: TypeAlias = Mapping[tuple[str, int], Sequence[int]]


class ProvisionError(Exception):
    """The topics cannot be made as declared; the message says what to do."""


@asynccontextmanager
async def open_admin(settings: Kafka, client_id: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect an admin client for as long as the context lasts."""
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
    """Create and repair the topics, as for one broker unless told; return a line for each change.

    Lines that begin with "warning: " name what Kafka refuses. Raises `ProvisionError`.
    """
    prefix = settings.topic_prefix
    async with open_admin(settings, "fastcore-topics") as admin:
        brokers = await _wait_for_brokers(admin, replication)
        existing = await admin.list_topics()
        missing = [topic for topic in topics.ALL if prefix + topic.name not in existing]
        if missing:
            await _create(admin, missing, prefix, replication)
        done = [f"created {prefix}{topic.name}" for topic in missing]
        kept = [prefix + topic.name for topic in topics.ALL if topic not in missing]
        if kept:
            said, lacking = await _add_replicas(admin, kept, brokers, replication)
            done += said
            # After the replicas: new partitions get as many as the topic's others have.
            done += await _add_partitions(admin, prefix, kept)
            # Last: a setting depends on the number of replicas.
            declared = {prefix + topic.name: topic.config() for topic in topics.ALL}
            replicas = _fewest(await read_layout(admin, kept))
            done += await repair_settings(
                admin, {name: declared[name] for name in kept}, replicas, replication, lacking=lacking
            )
        # On a shared cluster the offsets' topic is its operator's.
        if OFFSETS_TOPIC in existing and not prefix:
            done += (await _add_replicas(admin, [OFFSETS_TOPIC], brokers, replication))[0]
        return done


async def _wait_for_brokers(admin: AIOKafkaAdminClient, replication: int) -> list[int]:
    """Return the ids of the brokers, once there are enough of them."""
    deadline = asyncio.get_running_loop().time() + BROKERS_SECONDS
    while True:
        brokers = list[int]()
        with suppress(KafkaError):  # a broker that went away is asked no more once its session is over
            brokers = sorted(each["node_id"] for each in (await admin.describe_cluster())["brokers"])
        if len(brokers) >= replication:
            return brokers
        if asyncio.get_running_loop().time() > deadline:
            raise ProvisionError(
                f"{len(brokers)} of {replication} brokers answered within {BROKERS_SECONDS:.0f} s"
                f" (ids: {', '.join(map(str, brokers))}). Nothing was created or changed."
                " Start the others, or set FASTCORE_KAFKA_REPLICATION to the number of replicas that you want"
            )
        await asyncio.sleep(LOOK_SECONDS)


def more_replicas(
    layout: Layout, brokers: Sequence[int], replication: int
) -> dict[tuple[str, int], list[int]]:
    """Give each partition that has too few replicas others, on the brokers that have the fewest."""
    load = Counter(dict.fromkeys(brokers, 0))
    load.update(broker for replicas in layout.values() for broker in replicas if broker in load)
    made = {}
    for partition, replicas in sorted(layout.items()):
        lacking = replication - len(replicas)
        others = sorted(
            (each for each in brokers if each not in replicas), key=lambda each: (load[each], each)
        )
        if lacking > 0:
            made[partition] = [*replicas, *others[:lacking]]
            load.update(others[:lacking])
    return made


async def _create(
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
        kind = for_code(error[1])
        # Somebody else may create them at the same moment.
        if error[1] and kind is not TopicAlreadyExistsError:
            raise kind(f"{error[0]}: {error[2] if len(error) > 2 else kind.__name__}")


async def read_layout(admin: AIOKafkaAdminClient, names: list[str], *, of: str = "replicas") -> Layout:
    """Return the brokers that have each partition (`isr`: that have all of it)."""
    described = await admin.describe_topics(names)
    return {
        (topic["topic"], part["partition"]): part[of] for topic in described for part in topic["partitions"]
    }


def _fewest(layout: Layout) -> dict[str, int]:
    """Return the number of replicas of each topic's partition that has the fewest."""
    fewest: dict[str, int] = {}
    for (name, _), replicas in layout.items():
        fewest[name] = min(fewest.get(name, len(replicas)), len(replicas))
    return fewest


async def _add_partitions(admin: AIOKafkaAdminClient, prefix: str, names: list[str]) -> list[str]:
    counts = Counter(name for name, _ in await read_layout(admin, names))
    wanted = {prefix + topic.name: topic.partitions for topic in topics.ALL}
    few, said = dict[str, int](), list[str]()
    for name in names:
        if counts[name] >= wanted[name]:
            continue
        try:
            await admin.create_partitions({name: NewPartitions(wanted[name])})
        except KafkaError as error:
            said.append(
                f"warning: Kafka does not allow adding partitions to topic {name} ({explain(error)}):"
                f" it has {counts[name]} of {wanted[name]}, add the others yourself"
            )
        else:
            few[name] = wanted[name]
    if not few:
        return said
    deadline = asyncio.get_running_loop().time() + BROKERS_SECONDS
    while Counter(name for name, _ in await read_layout(admin, list(few))) != few:
        if asyncio.get_running_loop().time() > deadline:
            raise ProvisionError("new partitions were made, but are not shown yet: run this again")
        await asyncio.sleep(LOOK_SECONDS)
    return said + [f"{name}: {counts[name]} partitions, now {total}" for name, total in few.items()]


async def _add_replicas(
    admin: AIOKafkaAdminClient, names: list[str], brokers: list[int], replication: int
) -> tuple[list[str], set[str]]:
    """Copy what has too few replicas to other brokers, and wait until they have it.

    Returns a line for each topic, and the topics for which Kafka refuses it.
    """
    before = await read_layout(admin, names)
    wanted = more_replicas(before, brokers, replication)
    if not wanted:
        return [], set()
    moves: dict[str, list[Any]] = {}
    for (name, partition), replicas in wanted.items():
        moves.setdefault(name, []).append((partition, replicas, {}))
    request = AlterPartitionReassignmentsRequest(
        20_000,
        [(name, parts, {}) for name, parts in moves.items()],
        {},
    )
    refused = await _reassign(admin, request, list(moves))
    fewest = _fewest(before)
    said = [
        f"warning: Kafka does not allow adding replicas to topic {name} ({why}):"
        f" it has {fewest[name]} of {replication}, add the others yourself"
        for name, why in refused.items()
    ]
    wanted = {each: replicas for each, replicas in wanted.items() if each[0] not in refused}
    if not wanted:
        return said, set(refused)
    moves = {name: parts for name, parts in moves.items() if name not in refused}
    deadline = asyncio.get_running_loop().time() + COPY_SECONDS
    while True:
        copied = await read_layout(admin, list(moves), of="isr")
        behind = [each for each, replicas in wanted.items() if not set(replicas) <= set(copied[each])]
        if not behind:
            said += [f"{name}: {fewest[name]} replicas, now {replication}" for name in moves]
            return said, set(refused)
        if asyncio.get_running_loop().time() > deadline:
            raise ProvisionError(
                f"{len(behind)} of {len(wanted)} partitions are still being copied to other brokers after"
                f" {COPY_SECONDS:.0f} s. Kafka goes on with it; run this again for what comes after"
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _reassign(
    admin: AIOKafkaAdminClient, request: AlterPartitionReassignmentsRequest, names: list[str]
) -> dict[str, str]:
    """Send it; return why Kafka refuses it, by topic."""
    try:
        answer = await admin._send_to_controller(request)  # noqa: SLF001 - it has no method for this
    except KafkaError as error:
        return dict.fromkeys(names, explain(error))
    if answer.error_code:
        return dict.fromkeys(names, explain_code(answer.error_code, answer.error_message))
    return {
        name: explain_code(part[1], part[2])
        for name, parts, _ in answer.responses
        for part in parts
        if part[1]
    }

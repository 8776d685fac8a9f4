"""Who is in the consumer groups and which partitions each member has, for the tools of operators."""

from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from contracts import topics
from deploy.cli.kafka_refusals import explain, explain_code

CONSUMERS: Final[tuple[topics.Service, ...]] = ("persister", "notifier", "flusher")


@dataclass(frozen=True)
class Group:
    """One service's group. `assigned` are the partitions that some member has."""

    name: str
    members: int
    assigned: frozenset[TopicPartition]
    refused: str = ""
    """Why Kafka does not show its members."""


async def read_groups(admin: AIOKafkaAdminClient, prefix: str) -> dict[topics.Service, Group]:
    """Describe each service's group. Raises what aiokafka raises; the caller bounds it."""
    found: dict[topics.Service, Group] = {}
    for service in CONSUMERS:
        name = prefix + topics.GROUPS[service]
        # One at a time: aiokafka 0.14 reads an answer about several groups wrongly.
        try:
            (answer,) = await admin.describe_consumer_groups([name])
            code, _, _, _, _, members, *_ = answer.groups[0]
            refused = explain_code(code, None) if code else ""
        except KafkaError as error:
            refused = explain(error)
        if refused:
            found[service] = Group(name, 0, frozenset(), refused)
            continue
        assigned = {
            TopicPartition(topic, partition)
            for member in members
            if member[4]
            for topic, partitions in ConsumerProtocolMemberAssignment.decode(member[4]).assignment
            for partition in partitions
        }
        found[service] = Group(name, len(members), frozenset(assigned))
    return found

"""Reads the services' consumer groups: the number of members, and the partitions that they read."""

from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from contracts import topics
from deploy.cli.kafka_errors import refusal_reason, refusal_reason_of_code

CONSUMERS: Final[tuple[topics.Service, ...]] = ("persister", "notifier", "webhooks", "flusher")


@dataclass(frozen=True)
class Group:
    """The consumer group of one service. `assigned` are the partitions that are assigned to its members."""

    name: str
    members: int
    assigned: frozenset[TopicPartition]
    refused: str = ""
    """Why Kafka does not show the members. Empty if it does."""


async def read_groups(admin: AIOKafkaAdminClient, prefix: str) -> dict[topics.Service, Group]:
    """Return each service's consumer group, as Kafka describes it.

    If Kafka permanently refuses to describe a group, the group's field `refused` has the reason. If a retry
    may succeed, raises aiokafka's error. Has no timeout: the caller must set one.
    """
    groups: dict[topics.Service, Group] = {}
    for service in CONSUMERS:
        name = prefix + topics.GROUPS[service]
        # One group a request: aiokafka 0.14 decodes an answer about several groups wrongly.
        try:
            (answer,) = await admin.describe_consumer_groups([name])
            code, _, _, _, _, members, *_ = answer.groups[0]
            refused = refusal_reason_of_code(code, None) if code else ""
        except KafkaError as error:
            refused = refusal_reason(error)
        if refused:
            groups[service] = Group(name, 0, frozenset(), refused)
            continue
        assigned = {
            TopicPartition(topic, partition)
            for member in members
            if member[4]
            for topic, partitions in ConsumerProtocolMemberAssignment.decode(member[4]).assignment
            for partition in partitions
        }
        groups[service] = Group(name, len(members), frozenset(assigned))
    return groups

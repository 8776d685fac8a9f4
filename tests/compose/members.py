"""Runs inside a container: prints the partitions of `leads.received.v1` that each member of a group holds."""

import asyncio
import json
import sys

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from contracts import topics
from runtime.settings import Kafka


async def main(group: str) -> None:
    """Query the coordinator of the group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=Kafka().bootstrap_servers)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    held = []
    for member in answer.groups[0][5]:
        assignment = ConsumerProtocolMemberAssignment.decode(member[4]).assignment if member[4] else []
        held.append(sorted(p for topic, parts in assignment for p in parts if topic == topics.RECEIVED.name))
    print(json.dumps(sorted(held)))  # noqa: T201 - its answer


asyncio.run(main(sys.argv[1]))

"""`python -m deploy.topics`: create what `contracts/topics.py` declares. What exists is left as it is."""

import asyncio
import sys

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from faststream.kafka.security import parse_security

from contracts import topics
from runtime import event_loop
from runtime.kafka import why_not
from runtime.settings import Kafka, load

REPLICATION = 3


async def provision(settings: Kafka) -> list[str]:
    """Create the missing topics, three replicas each where three brokers answer; return their names."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=settings.bootstrap_servers,
        client_id="fastcore-topics",
        request_timeout_ms=20_000,
        **parse_security(settings.security()),
    )
    await asyncio.wait_for(admin.start(), 20)
    try:
        cluster = await admin.describe_cluster()
        replication = REPLICATION if len(cluster["brokers"]) >= REPLICATION else 1
        existing = set(await admin.list_topics())
        prefix = settings.topic_prefix
        missing = [topic for topic in topics.ALL if prefix + topic.name not in existing]
        if missing:
            answer = await admin.create_topics(
                [
                    NewTopic(
                        prefix + topic.name,
                        num_partitions=topic.partitions,
                        replication_factor=replication,
                        topic_configs=topic.config()
                        | ({"min.insync.replicas": "2"} if replication == REPLICATION else {}),
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
        return [prefix + topic.name for topic in missing]
    finally:
        await asyncio.wait_for(admin.close(), 10)


def main() -> None:
    """Create the Kafka topics that do not exist yet."""
    settings = load(Kafka)
    try:
        created = event_loop.run(provision(settings))
    except (KafkaError, OSError, TimeoutError) as error:
        reason = event_loop.run(why_not(settings)) if isinstance(error, KafkaConnectionError) else error
        sys.exit(
            f"Kafka did not create the topics ({type(error).__name__}: {reason}):"
            " check KAFKA_BOOTSTRAP_SERVERS and the settings beside it"
        )
    for name in created:
        print(f"created {name}")
    if not created:
        print("the topics are up to date")


if __name__ == "__main__":
    typer.run(main)

"""`python -m deploy.cli.topics`: create and repair the topics that `contracts/topics.py` declares."""

import sys

import typer
from aiokafka.errors import KafkaConnectionError, KafkaError

from deploy.cli.topic_provisioning import ProvisionError, provision
from deploy.settings import ReplicationSettings
from runtime import event_loop
from runtime.kafka.broker import diagnose_connection
from runtime.settings import Kafka, load

__all__ = ["main", "provision"]


def main() -> None:
    """Create the Kafka topics that do not exist, and repair those that fall short of their declaration.

    Waits up to a minute for FASTCORE_KAFKA_REPLICATION brokers (3 by default), and changes nothing if fewer
    answer. Adds the missing replicas and partitions of a topic, and raises its retention and its
    min.insync.replicas. Lowers only one setting: a min.insync.replicas that is above the number of replicas.
    Without a topic prefix, it also adds the missing replicas of Kafka's own __consumer_offsets.

    Prints a line that begins with "warning: " for each repair that Kafka refuses, as managed clusters do.

    Exits with 0 if every topic exists, else with 1.
    """
    settings, replication = load(Kafka), load(ReplicationSettings).replication
    try:
        lines = event_loop.run(provision(settings, replication))
    except ProvisionError as error:
        sys.exit(f"Kafka: {error}")
    except (KafkaError, OSError, TimeoutError) as error:
        reason = (
            event_loop.run(diagnose_connection(settings))
            if isinstance(error, KafkaConnectionError)
            else error
        )
        sys.exit(
            f"Kafka did not create the topics ({type(error).__name__}: {reason}):"
            " check KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_ settings"
        )
    for line in lines:
        print(line)
    if not lines:
        print("the topics are up to date")


if __name__ == "__main__":
    typer.run(main)

"""`python -m deploy.cli.topics`: make the topics what `contracts/topics.py` declares, by `provision`."""

import sys

import typer
from aiokafka.errors import KafkaConnectionError, KafkaError

from deploy.cli.topic_provisioning import ProvisionError, provision
from deploy.settings import ReplicationSettings
from runtime import event_loop
from runtime.kafka.clients import diagnose_connection
from runtime.settings import Kafka, load

__all__ = ["main", "provision"]


def main() -> None:
    """Create the Kafka topics that do not exist yet, and repair those that fall short of what is declared.

    Waits up to a minute for FASTCORE_KAFKA_REPLICATION brokers (3 by default) and changes nothing where they
    do not answer. A topic with fewer replicas or partitions, a shorter retention or a smaller
    min.insync.replicas gets what it lacks; what it has beyond that stays. Without a topic prefix, Kafka's own
    __consumer_offsets gets its replicas, too.

    A repair that Kafka refuses, as managed clusters do, is a line that begins with "warning: ".

    Ends with 0 where every topic is there, else with 1.
    """
    settings, replication = load(Kafka), load(ReplicationSettings).replication
    try:
        done = event_loop.run(provision(settings, replication))
    except ProvisionError as error:
        sys.exit(f"Kafka: {error}")
    except (KafkaError, OSError, TimeoutError) as error:
        reason = (
            event_loop.run(diagnose_connection(settings))
            if isinstance(error, KafkaConnectionError)
            else error
        )
        sys.exit(
            f"Kafka did not make the topics ({type(error).__name__}: {reason}):"
            " check KAFKA_BOOTSTRAP_SERVERS and the settings beside it"
        )
    for line in done:
        print(line)
    if not done:
        print("the topics are up to date")


if __name__ == "__main__":
    typer.run(main)

"""`python -m deploy.cli.restore_reconcile`: report what the services repair after a restore or a failover.

The command writes nothing. Each service compares its ledger with Kafka at its start, after every database
failure and once a minute, and repairs the difference itself (runtime/kafka/reconcile.py).
"""

import asyncio
import sys

import typer
from aiokafka.errors import KafkaError

from contracts import topics
from deploy.cli.consumer_groups import CONSUMERS
from deploy.cli.partition_offsets import read_stage_positions
from runtime.database.postgres import open_pool, transaction
from runtime.failures import Failure
from runtime.kafka.log_reader import open_reader
from runtime.kafka.positions import Position
from runtime.settings import Kafka, Postgres, load


async def read_all_positions(kafka: Kafka, postgres: Postgres) -> dict[str, list[Position]]:
    """Return each service's positions, one for each partition that it consumes.

    Raises aiokafka's errors, and `Failure` if the database fails.
    """
    positions = dict[str, list[Position]]()
    async with open_pool(postgres, "restored") as pool:
        for stage in CONSUMERS:
            async with open_reader(kafka, topics.GROUPS[stage]) as consumer, transaction(pool) as connection:
                found = await read_stage_positions(kafka, consumer, connection, stage)
                positions[stage] = list(found.values())
    return positions


def summarize(stage: str, positions: list[Position]) -> list[str]:
    """Return a line for each kind of repair that the service `stage` will make.

    Returns an empty list if the service's ledger matches Kafka.
    """
    others = sum(position.is_another_log for position in positions)
    same = [position for position in positions if not position.is_another_log]
    behind, expired = sum(each.behind for each in same), sum(each.expired for each in same)
    lines = []
    if others:
        lines.append(f"{others} partitions belong to another log: their ledger begins a new epoch")
    if behind and stage == "notifier":
        lines.append(f"the emails of {behind} records are recorded again from Kafka, and not sent again")
    elif behind:
        lines.append(f"{behind} records are processed again")
    if expired:
        lines.append(f"{expired} records are no longer in Kafka: they are counted as missing")
    return [f"{stage}: {line}" for line in lines]


def main() -> None:
    """Report, after a restore or a failover of the database, what the services repair by themselves."""
    kafka, postgres = load(Kafka), load(Postgres)
    try:
        positions = asyncio.run(read_all_positions(kafka, postgres))
    except (KafkaError, OSError, TimeoutError, Failure) as error:
        reason = error.reason if isinstance(error, Failure) else type(error).__name__
        sys.exit(
            f"the ledger could not be compared with Kafka ({reason}):"
            " check KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, then run this again"
        )
    lines = [line for stage, found in positions.items() for line in summarize(stage, found)]
    print("\n".join(lines) or "the ledger matches Kafka: there is nothing to repair")
    print("the services repair this by themselves; when no group has lag, run python -m deploy.cli.ledger")


if __name__ == "__main__":
    typer.run(main)

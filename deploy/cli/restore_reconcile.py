"""`python -m deploy.cli.restore_reconcile`: report what the services do after a restore or a failover.

Writes nothing. Each service compares its ledger with Kafka when it starts, after every fault of the database
and every minute, and repairs the difference by itself (runtime/kafka/reconcile.py).
"""

import asyncio
import sys

import typer
from aiokafka.errors import KafkaError

from contracts import topics
from deploy.cli.consumer_groups import CONSUMERS
from deploy.cli.partition_offsets import read_positions
from runtime.database.postgres import open_pool, transaction
from runtime.failures import Failure
from runtime.kafka.log_reader import open_reader
from runtime.kafka.positions import Position
from runtime.settings import Kafka, Postgres, load


async def read_all(kafka: Kafka, postgres: Postgres) -> dict[str, list[Position]]:
    """Return where each stage stands. Raises what Kafka and PostgreSQL raise."""
    found = dict[str, list[Position]]()
    async with open_pool(postgres, "restored") as pool:
        for stage in CONSUMERS:
            async with open_reader(kafka, topics.GROUPS[stage]) as consumer, transaction(pool) as connection:
                found[stage] = list((await read_positions(kafka, consumer, connection, stage)).values())
    return found


def summary(stage: str, positions: list[Position]) -> list[str]:
    """Say what a service will do about its partitions; nothing where all of them fit."""
    others = sum(position.is_another_log for position in positions)
    same = [position for position in positions if not position.is_another_log]
    behind, expired = sum(each.behind for each in same), sum(each.expired for each in same)
    lines = []
    if others:
        lines.append(f"{others} partitions are of another log: their books begin a new epoch")
    if behind and stage == "notifier":
        lines.append(f"the mails of {behind} records are written again from Kafka, and not sent again")
    elif behind:
        lines.append(f"{behind} records are taken again")
    if expired:
        lines.append(f"{expired} records are in Kafka no more: they are counted as missing")
    return [f"{stage}: {line}" for line in lines]


def main() -> None:
    """After a restore or a failover of the database: say what the services bring back by themselves."""
    kafka, postgres = load(Kafka), load(Postgres)
    try:
        found = asyncio.run(read_all(kafka, postgres))
    except (KafkaError, OSError, TimeoutError, Failure) as error:
        reason = error.reason if isinstance(error, Failure) else type(error).__name__
        sys.exit(f"not known ({reason}): check KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, then run it again")
    lines = [line for stage, positions in found.items() for line in summary(stage, positions)]
    print("\n".join(lines) or "the ledger fits Kafka: nothing is to be brought back")
    print("the services do this by themselves; check when no group has lag: python -m deploy.cli.ledger")


if __name__ == "__main__":
    typer.run(main)

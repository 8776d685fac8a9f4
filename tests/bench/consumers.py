"""Compares two persisters that drain the same leads with one."""

from typing import Final

from contracts.lead_record import LeadRecord
from tests.bench.environment import BenchEnvironment
from tests.bench.inputs.backlog import STORED, made, persisters, post, rate_of
from tests.bench.measure import Limit, Result, Run, in_turns

COUNTS: Final = (1, 2)
LEADS: Final = 20_000


async def compare(bench: BenchEnvironment) -> list[Result]:
    """Drain with each number of consumers. Kafka, PostgreSQL and the measurement share the cores."""
    records = made(LEADS)
    bench.say("persister: drained by one and two")
    runs: dict[str, Run] = {
        str(count): lambda count=count: _drained(bench, records, count)  # type: ignore[misc]
        for count in COUNTS
    }
    rates = await in_turns(runs, bench.turns)
    return [
        Result(
            "2 persisters draining a backlog", "one of them", "leads/s", rates["2"], rates["1"],
            Limit(at_least=0.9),
        )
    ]  # fmt: skip


async def _drained(bench: BenchEnvironment, records: list[LeadRecord], count: int) -> float:
    """Answer leads a second, from when all of them are in Kafka and all persisters read.

    Those join first: else one that starts sooner has much of a short backlog before the others are there.
    """
    kafka = await bench.stack.new_topics()
    try:
        async with persisters(bench, kafka, count) as database:
            await post(kafka, records)
            return await rate_of(database, STORED, len(records))
    finally:
        await bench.stack.drop_topics(kafka)

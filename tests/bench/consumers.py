"""What more persisters bring: one backlog drained by one, two and three of them."""

from typing import Final

from tests.bench.backlog import backlog
from tests.bench.ground import Ground
from tests.bench.measure import Limit, Result, Run, in_turns
from tests.bench.persister import size

OTHERS: Final = (2, 3)


async def compare(ground: Ground) -> list[Result]:
    """Drain by turns; the machine's cores are shared with Kafka and PostgreSQL, and with the look at them."""
    async with backlog(ground, size(ground)) as waiting:
        ground.say("persister: drained by one, two and three")
        runs: dict[str, Run] = {
            str(count): lambda count=count: waiting.drained(count)  # type: ignore[misc]
            for count in (1, *OTHERS)
        }
        rates = await in_turns(runs, 2 if ground.quick else 3)
    return [
        Result(
            f"{count} persisters draining a backlog, leads a second", "one of them", "leads/s",
            rates[str(count)], rates["1"], Limit(at_least=0.9),
        )
        for count in OTHERS
    ]  # fmt: skip

"""A single broker loses power, and the tails of its logs: new leads get offsets that were read before."""

from tests.faults.failover import broken_promises
from tests.faults.family import Family, Result, Task, alone
from tests.faults.lost_log_tail import run

SHARES = {"half of each log": 0.5, "a tenth of each log": 0.1, "whole logs": 1.0}


async def run_round(task: Task) -> Result:
    schedule, (fault,), rng = task.open_schedule(), task.faults, task.random("load")
    counted = await run(
        task.data, rng.randrange(80, 160), rng.randrange(120, 200), SHARES[fault], schedule.log
    )
    return Result(
        leads=counted["acknowledged"],
        lost=counted["not stored"],
        mails_lost=counted["mails missing"],
        mails_doubled=counted["mails twice"],
        quiet_seconds=counted["seconds to quiet"],
        injected=[fault],
        violations=broken_promises(counted),
        figures={"bytes_lost": counted["bytes lost"]},
    )


FAMILY = Family(
    "lost_log_tail",
    {
        "half of each log": "records that the consumers had read and committed",
        "a tenth of each log": "the newest records",
        "whole logs": "every offset begins again",
    },
    alone(run_round),
    bound_seconds=300,
)

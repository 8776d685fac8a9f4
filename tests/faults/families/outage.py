"""Kafka away for a minute under a high load, and only the gateway before it: each post gets its 201.

Options: `seconds` (how long Kafka is away), `rate` (posts a second).
"""

from typing import get_args

from tests.faults.family import Family, Result, Task, alone
from tests.faults.outage import How, run
from tests.faults.violations import Violation

HOW_IT_FAILS = {
    "stopped": "SIGSTOP, so that its connections live and nothing answers",
    "killed": "kill -9",
    "absent": "the gateway starts before Kafka",
}
HOW: dict[str, How] = {how: how for how in get_args(How)}


async def run_round(task: Task) -> Result:
    schedule, (fault,) = task.open_schedule(), task.faults
    seconds, rate = float(task.options.get("seconds", 60)), float(task.options.get("rate", 200))
    done = await run(HOW[fault], seconds, rate, task.data, schedule.log)
    (task.folder / "times.txt").write_text(done.times + "\n")
    violations = list[Violation]()
    if done.lost:
        violations.append(Violation("lost", f"{done.lost} leads with a 201 are not on the topic"))
    if done.refused:
        violations.append(Violation("refused", f"{done.refused} good leads did not get a 201"))
    return Result(
        leads=done.accepted,
        lost=done.lost,
        quiet_seconds=round(done.drained_seconds, 1),
        injected=[fault],
        violations=violations,
        evidence=["times.txt"],
    )


FAMILY = Family("outage", HOW_IT_FAILS, alone(run_round), bound_seconds=240, quick_options={"seconds": "8"})

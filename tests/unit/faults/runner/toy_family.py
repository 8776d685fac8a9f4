"""A family without an installation, whose rounds end in every way."""

import asyncio
import os
import sys

from tests.faults.family import Family, Result, Task, alone


async def run_round(task: Task) -> Result:
    schedule = task.open_schedule()
    schedule.log("begun")
    (task.data / "big").write_text("data of a server")
    (fault,) = task.faults
    await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    if fault == "hangs":
        sys.stderr.write("this is where it hangs\n")
        await asyncio.sleep(600)
    if fault == "raises":
        raise ValueError("no such server")
    if fault == "dies":
        os._exit(3)
    injected = [] if fault == "omitted" else [fault]
    return Result(leads=7, quiet_seconds=1.5, injected=injected, figures={"random": task.random().random()})


FAMILY = Family(
    __name__,
    faults=dict.fromkeys(("passes", "hangs", "raises", "dies", "omitted"), ""),
    session=alone(run_round),
    bound_seconds=2,
    rounds_of_a_session=2,
)

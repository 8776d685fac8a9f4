"""An installation with one broker, all six services and their neighbours; nearly all faults there are.

Options: `load_seconds`, `rate` (leads a second), `spam` (share of the leads), `workers` (processes of the
gateway), `one_process` (any value: all services in one process).
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults import report
from tests.faults.family import Family, Result, RunRound, Task
from tests.faults.fault_plan import QUICK
from tests.faults.injections.faults import ALL
from tests.faults.load import Traffic
from tests.faults.suite import Round, Suite

SPAM = 0.08


@asynccontextmanager
async def session(folder: Path, options: Mapping[str, str]) -> AsyncIterator[RunRound]:
    """Yield the function that runs a round. The first round starts the installation."""
    traffic = Traffic(
        float(options.get("load_seconds", 12)),
        float(options.get("rate", 40)),
        float(options.get("spam", SPAM)),
    )
    suite = Suite(
        folder,
        traffic,
        print,
        keep=False,
        one_process=bool(options.get("one_process")),
        workers=int(options.get("workers", 1)),
    )

    async def run_round(task: Task) -> Result:
        schedule = task.open_schedule()
        done = await suite.run(task.seed, task.number, task.faults, schedule.add)
        return conclude(done, task.folder)

    try:
        yield run_round
    finally:
        await suite.close()


def conclude(done: Round, folder: Path) -> Result:
    """Write the round's evidence into the folder, and return its result."""
    (folder / "measured.json").write_text(json.dumps(done.json(), indent=1, default=str))
    evidence = ["measured.json"]
    if done.violations:
        (folder / "story.txt").write_text("\n".join(report.failure(done)) + "\n")
        evidence.append("story.txt")
    skipped = dict(line.split(": ", 1) for line in done.skipped)
    return Result(
        leads=done.accepted,
        lost=done.count("lost"),
        doubled=done.count("duplicated row"),
        mails_lost=done.count("lost mail"),
        mails_doubled=done.count("duplicated mail"),
        quiet_seconds=done.recovery_seconds or None,
        injected=[fault for fault in done.faults if fault not in skipped],
        skipped=skipped,
        violations=done.violations,
        evidence=evidence,
        figures={
            "unknown_mails": done.unknown_mails,
            "slowest_answer": round(done.slowest_seconds, 2),
        },
    )


FAMILY = Family(
    "installation",
    faults=dict.fromkeys(ALL, ""),
    session=session,
    bound_seconds=240,
    missing=lambda fault: ALL[fault].missing(),
    most_faults=2,
    rounds_of_a_session=5,
    quick=QUICK,
)

"""An installation with one broker, all six services and their neighbours; nearly all faults there are.

Options: `load_seconds`, `rate` (leads a second), `spam` (share of the leads), `workers` (processes of the
gateway), `one_process` (any value: all services in one process).
"""

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults import report
from tests.faults.family import Family, Result, RunRound, Task
from tests.faults.injections.faults import ALL, LONG
from tests.faults.load import Traffic
from tests.faults.suite import Round, Suite

SPAM = 0.08
# The faults that found the most errors so far.
QUICK = (
    ("kill persister mid-batch", "poison", "smtp drop after the dot", "kill webhooks mid-request"),
    (
        "gateway and kafka",
        "smtp 451",
        "receiver resets after the body",
        "notifier dies before: digest outcome stored",
    ),
    ("kill postgres", "kill notifier mid-mail", "reset kafka", "receiver 500"),
    ("torn record", "lost commits", "restart persister", "smtp 535", "receiver's name moves"),
)


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
    if done.traces:
        shutil.move(done.traces, folder / "traces.jsonl.gz")
        evidence.append("traces.jsonl.gz")
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
    faults=dict.fromkeys(ALL | LONG, ""),
    session=session,
    bound_seconds=300,
    missing=lambda fault: (ALL | LONG)[fault].missing(),
    most_faults=2,
    rounds_of_a_session=5,
    quick=QUICK,
)

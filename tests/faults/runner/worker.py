"""`python -m tests.faults.runner.worker FAMILY FOLDER OPTIONS`: runs rounds of one family for the runner.

Reads a task from each line of its standard input (JSON), and writes the result of each as a line to its
standard output. What families and servers print goes to the standard error. A round that fails with an
exception is a violation, and the last one of this process.
"""

import asyncio
import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import IO, Any

from tests.faults import families
from tests.faults.family import Family, Result, RunRound, Task
from tests.faults.violations import Violation

_PR_SET_CHILD_SUBREAPER = 36


async def serve(family: Family, folder: Path, options: dict[str, str], results: IO[str]) -> None:
    """Run each round that the standard input names. Returns at its end, or after a round that failed."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, print_tasks)
    async with family.session(folder, options) as run_round:
        while line := await asyncio.to_thread(sys.stdin.readline):
            read = json.loads(line)
            task = Task(read["seed"], read["number"], tuple(read["faults"]), Path(read["folder"]), options)
            result, complete = await attempt(run_round, task)
            results.write(json.dumps(result.json(), default=str) + "\n")
            results.flush()
            if not complete:
                return


async def attempt(run_round: RunRound, task: Task) -> tuple[Result, bool]:
    """Run a round, and return its result, and whether the function returned it."""
    began = time.monotonic()
    try:
        result = await run_round(task)
    except Exception as error:  # noqa: BLE001 - a round that failed is a result, too
        (task.folder / "traceback.txt").write_text(traceback.format_exc())
        at = round(time.monotonic() - began, 1)
        return Result(violations=[suite_error(error, at)], evidence=["traceback.txt"]), False
    done = {*result.injected, *result.skipped}
    if not result.violations and (omitted := [fault for fault in task.faults if fault not in done]):
        result.violations.append(Violation("suite", f"neither injected nor skipped: {', '.join(omitted)}"))
    return result, True


def suite_error(error: BaseException, at: float) -> Violation:
    """Return the violation of a round that ended with an exception after `at` seconds."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.name}, {Path(place.filename).name}:{place.lineno}"
    return Violation("suite", f"{type(error).__name__} after {at:g} s: {error} ({where})"[:1000])


def print_tasks() -> None:
    """Print what each task awaits, the innermost last: what a round waits for that does not end."""
    for task in asyncio.all_tasks():
        sys.stderr.write(f"{task.get_name()} awaits:\n")
        # Task.print_stack shows only the outermost function.
        awaited: Any = task.get_coro()
        while awaited is not None:
            if frame := getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None):
                code = frame.f_code
                sys.stderr.write(f"  {code.co_qualname}, {code.co_filename}:{frame.f_lineno}\n")
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    sys.stderr.flush()


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends, so that the runner finds all of them below here."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(name: str, folder: str, options: str) -> None:
    """Run rounds of the family until the standard input ends."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    adopt_orphans()
    faulthandler.register(signal.SIGUSR1)
    logging.disable(logging.CRITICAL)  # aiokafka logs each lost connection, which faults cause on purpose
    settings: dict[str, Any] = json.loads(options)
    asyncio.run(serve(families.find(name), Path(folder), settings, results))


if __name__ == "__main__":
    main(*sys.argv[1:])

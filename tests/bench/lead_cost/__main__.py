"""`python -m tests.bench.lead_cost`: instructions and processor time per lead, without sockets and broker.

The instructions are those of the whole process in user mode, counted by valgrind. They hardly depend on what
else runs on the machine.
"""

import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import aiokafka.client
import typer

from runtime import event_loop
from tests.bench.lead_cost.contenders import CONNECTIONS, NAMES, requests, run_contender
from tests.support.kafka import acknowledging_broker
from tests.support.services.processes import ROOT

# Rounds before the measurement, so that caches are filled and the interpreter has specialised its bytecode.
WARM_UP: Final = 20
# Valgrind makes everything some 50 times slower.
TIMEOUT_SECONDS: Final = 600
_CHILD: Final = "FASTCORE_BENCH_LEAD_COST"


def processor_seconds() -> float:
    """Return the processor time of this process so far, in user mode and in the kernel."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _count_instructions(*, on: bool) -> None:
    subprocess.run(
        ["callgrind_control", "--instr=" + ("on" if on else "off"), str(os.getpid())],
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def measure(name: str, rounds: int, repeats: int, warm_up: int = WARM_UP) -> list[float]:
    """Return the processor time per lead in us of each repeat of `rounds` requests on each connection.

    Under valgrind, its instructions are counted. `warm_up` rounds come before.
    """
    under_valgrind = _CHILD in os.environ
    with tempfile.TemporaryDirectory() as folder:
        async with run_contender(name, folder) as contender:
            sent = iter(requests(warm_up + rounds * repeats))
            for _ in range(warm_up):
                await contender.answer(next(sent))
            took = []
            for _ in range(repeats):
                if under_valgrind:
                    _count_instructions(on=True)
                before = processor_seconds()
                for _ in range(rounds):
                    await contender.answer(next(sent))
                took.append((processor_seconds() - before) / rounds / CONNECTIONS * 1e6)
                if under_valgrind:
                    _count_instructions(on=False)
            return took


def _child(name: str, rounds: int, repeats: int, *prefix: str) -> str:
    command = [
        *prefix,
        sys.executable,
        "-m",
        "tests.bench.lead_cost",
        name,
        f"--rounds={rounds}",
        f"--repeats={repeats}",
    ]
    environment = os.environ | {"PYTHONHASHSEED": "0"} | ({_CHILD: "1"} if prefix else {})
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    return done.stdout


def instructions(name: str, rounds: int, out: Path) -> float:
    """Return the instructions per lead of a contender. `out` gets callgrind's profile."""
    _child(
        name, rounds, 1, "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"
    )
    return total_of(out) / rounds / CONNECTIONS


def total_of(profile: Path) -> int:
    """Return the instructions that callgrind has counted."""
    total = re.search(r"^totals: (\d+)", profile.read_text(), re.MULTILINE)
    assert total, profile
    return int(total[1])


def main(
    name: Annotated[str | None, typer.Argument(help="Measure the time of this one, in this process.")] = None,
    rounds: Annotated[int, typer.Option(help="Requests on each of the 64 connections in a repeat.")] = 20,
    repeats: Annotated[int, typer.Option(help="Repeats of the processor time.")] = 9,
    only: Annotated[list[str] | None, typer.Option(help="ours, modelled or bare")] = None,
) -> None:
    """Compare the gateway with its references: instructions, and the median processor time."""
    aiokafka.client.create_conn = acknowledging_broker.connect
    if name:
        figures = event_loop.run(measure(name, rounds, repeats))
        typer.echo(statistics.median(figures))
        return
    if shutil.which("valgrind") is None:
        sys.exit("make bench-lead needs valgrind: apt-get install valgrind")
    for each in only or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            counted = instructions(each, rounds, Path(folder, "callgrind.out"))
        took = float(_child(each, rounds, repeats))
        typer.echo(f"{each:10} {counted:>10,.0f} instructions {took:>6.0f} us")


if __name__ == "__main__":
    typer.run(main)

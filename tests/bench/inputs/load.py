"""Load from separate processes: wrk for the maximum rate, `fixed_rate_client` for a fixed rate."""

import asyncio
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.environment import TOKEN
from tests.support.services.processes import ROOT

CONNECTIONS = 64
SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class Steady:
    """Response times at a fixed rate in ms, from the scheduled time of each request."""

    p50: float
    p99: float
    sent: int
    refused: int


def need_wrk() -> None:
    """Raise an error if the load generator is not installed."""
    if shutil.which("wrk") is None:
        sys.exit("make bench needs wrk, the load generator: apt-get install wrk (or brew install wrk)")


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {err.decode()[-2000:]}")
    return out.decode()


async def accepted_a_second(url: str, seconds: int, *event: str) -> float:
    """Post at the maximum rate over 64 connections; every response must be a success.

    `event` is nothing for a gateway, and the tenant and topic of the events for Outpost.
    """
    said = await _run(
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(SCRIPT),
        url,
        "--",
        TOKEN,
        *event,
    )
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"the load was not all accepted:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate, said
    return float(rate[1])


async def answered_in(url: str, rate: float, seconds: float) -> Steady:
    """Post at a fixed rate, independent of the response times."""
    said = await _run(
        sys.executable,
        "-m",
        "tests.bench.inputs.fixed_rate_client",
        url,
        f"--rate={rate}",
        f"--seconds={seconds}",
    )
    return Steady(**json.loads(said))

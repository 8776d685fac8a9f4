"""The report of a run: a table, JSON, and the comparison with an earlier run."""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
from rich.table import Table

from tests.bench.measure import Curve, Result

KNOWN: Final = Path(__file__).with_name("results.json")
# How far a ratio may differ between two runs of one machine: two short runs of one tree, one after the other,
# differed by up to 31 %, and from a whole one by up to 42 %.
MARGIN: Final = 0.5
_VERSIONS: Final = (
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "pydantic-core",
    "aiokafka",
    "asyncpg",
    "aiosmtplib",
)
Json = dict[str, Any]


def machine(parts: str) -> Json:
    """Describe the machine and the versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _VERSIONS},
        "servers": parts,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def table(results: Iterable[Result]) -> Table:
    """Return a table of all comparisons with their ratios, ranges and limits."""
    shown = Table(title="ours against a reference, measured in turns", title_justify="left")
    for name in ("what", "against", "unit"):
        shown.add_column(name)
    for name in ("ours", "reference", "ratio", "lowest", "highest"):
        shown.add_column(name, justify="right")
    shown.add_column("limit")
    for result in results:
        data = result.as_json()
        numbers = (f"{data[name]:,.{2 if data[name] < 100 else 0}f}" for name in ("ours", "reference"))
        ratios = (f"{data[name]:.2f}" for name in ("ratio", "lowest", "highest"))
        verdict = f"{data['limit']}{'' if result.holds else ': falls short'}"
        shown.add_row(data["name"], data["against"], data["unit"], *numbers, *ratios, verdict)
    return shown


def document(results: Iterable[Result], parts: str, curves: Iterable[Curve], *, quick: bool) -> Json:
    """Return a run as JSON data."""
    return {
        "machine": machine(parts),
        "quick": quick,
        "results": [result.as_json() for result in results],
        "curves": [asdict(curve) for curve in curves],
    }


def write(path: Path, data: Json) -> None:
    """Write a run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n")


def ratios(data: Json) -> dict[tuple[str, str], float]:
    """Return the ratios of a run by name and reference."""
    return {(each["name"], each["against"]): each["ratio"] for each in data["results"]}


def worse(results: Iterable[Result], known: Mapping[tuple[str, str], float]) -> list[str]:
    """Return each ratio that is worse than the recorded one by more than the margin."""
    found = []
    for result in results:
        before = known.get((result.name, result.against))
        if before is None:
            continue
        fell = result.ratio < before * (1 - MARGIN)
        rose = result.ratio > before * (1 + MARGIN)
        if (fell and result.limit.at_least is not None) or (rose and result.limit.at_most is not None):
            found.append(f"{result.name} against {result.against}: {result.ratio:.2f}, was {before:.2f}")
    return found

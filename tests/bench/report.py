"""The report of a run: a table, JSON, and the comparison with an earlier run."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
from rich.table import Table

from tests.bench import bootstrap
from tests.bench.bootstrap import Interval, overlap
from tests.bench.environment import BenchEnvironment
from tests.bench.machine import MOST_OF_OTHERS, MOST_STOLEN, Conditions
from tests.bench.measure import SAME, WIDEST, Result

KNOWN: Final = Path(__file__).with_name("results.json")
# How far a ratio may differ between two runs of one machine: two short runs of one tree, one after the other,
# differed by up to 31 %, and from a whole one by up to 42 %.
MARGIN: Final = 0.5
# The lowest to the highest of five ratios contain the true median with a probability of 94 %.
ENOUGH_TURNS: Final = 6
METHOD: Final = bootstrap.METHOD | {
    "order": "A B B A",
    "too_noisy": {
        "interval_wider_than": WIDEST,
        "repetition_outside": SAME,
        "stolen_over": MOST_STOLEN,
        "other_programs_over": MOST_OF_OTHERS,
    },
}
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


def form(data: Json) -> str:
    """Return in what form a run was made, and whether its intervals are exact."""
    few = ", too few for a 95 % interval" if data["turns"] < ENOUGH_TURNS else ""
    return f"{'quick' if data['quick'] else 'whole'} run, {data['turns']} turns{few}"


def table(data: Json) -> Table:
    """Return a table of all comparisons of a run with their ratios, intervals and limits."""
    shown = Table(title=f"ours against a reference ({form(data)})", title_justify="left")
    for name in ("what", "against", "unit"):
        shown.add_column(name)
    for name in ("ours", "reference", "ratio", f"{bootstrap.LEVEL:.0%} interval", "itself"):
        shown.add_column(name, justify="right")
    shown.add_column("limit")
    for row in data["results"]:
        shown.add_row(
            *(row[name] for name in ("name", "against", "unit")),
            *(number(row[name]) for name in ("ours", "reference")),
            "too noisy" if row["ratio"] is None else f"{row['ratio']:.2f}",
            *(span(row[name]) for name in ("interval", "itself")),
            verdict(row),
        )
    return shown


def number(value: float) -> str:
    """Return a figure with decimals if it is small."""
    return f"{value:,.{2 if value < 100 else 0}f}"


def span(interval: Sequence[float] | None) -> str:
    """Return an interval as text; what was measured once has none."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "-"


def verdict(row: Json) -> str:
    """Return a stored row's limit, and what is to be said about it: why it does not count as held."""
    said = {"held": "", "no limit": "", "too noisy": f"too noisy: {row['too_noisy']}"}
    return ": ".join(part for part in (row["limit"], said.get(row["verdict"], row["verdict"])) if part)


def conditions(data: Json) -> Iterator[str]:
    """Return a line about each comparison of a run: the placement, the disturbances and the cores."""
    for name, seen in data["conditions"].items():
        cores = "; ".join(
            f"core {core['core']}: {_mhz(core['mhz'])}speed {core['speed'][0]:g} to {core['speed'][1]:g}"
            for core in seen["cores"]
        )
        others = "unknown" if seen["others"] is None else f"{seen['others']:.1%}"
        yield (
            f"{name}: {seen['seconds']} s, {seen['placement']}; stolen {seen['stolen']:.1%}, "
            f"other programs {others}; {cores}"
        )


def _mhz(both: Sequence[float | None]) -> str:
    return "" if None in both else f"{both[0]:.0f} to {both[1]:.0f} MHz, "


def document(
    bench: BenchEnvironment, results: Iterable[Result], conditions: Mapping[str, Conditions]
) -> Json:
    """Return a run as JSON data."""
    return {
        "machine": machine(bench.stack.parts),
        "quick": bench.quick,
        "turns": bench.turns,
        "method": METHOD,
        "conditions": {name: seen.as_json() for name, seen in conditions.items()},
        "results": [result.as_json() for result in results],
        "curves": [asdict(curve) for curve in bench.curves],
    }


def write(path: Path, data: Json) -> None:
    """Write a run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n")


def rows(data: Json) -> dict[tuple[str, str], Json]:
    """Return the rows of a stored run by name and reference."""
    return {(each["name"], each["against"]): each for each in data["results"]}


def interval(row: Json) -> Interval:
    """Return a stored row's interval: of one turn its ratio, of earlier runs the lowest and highest ratio."""
    low, high = row.get("interval") or (row.get(name, row["ratio"]) for name in ("lowest", "highest"))
    return low, high


def worse(results: Iterable[Result], known: Mapping[tuple[str, str], Json]) -> list[str]:
    """Return each ratio that is worse than the recorded one: by more than the margin, and by its interval."""
    found = []
    for result in results:
        before = known.get((result.name, result.against))
        if before is None or before["ratio"] is None or result.too_noisy:
            continue
        if overlap(result.interval or (result.ratio, result.ratio), interval(before)):
            continue
        fell = result.ratio < before["ratio"] * (1 - MARGIN)
        rose = result.ratio > before["ratio"] * (1 + MARGIN)
        if (fell and result.limit.at_least is not None) or (rose and result.limit.at_most is not None):
            found.append(
                f"{result.name} against {result.against}: {result.ratio:.2f} ({span(result.interval)}), "
                f"was {before['ratio']:.2f} ({span(interval(before))})"
            )
    return found

"""`python -m tests.faults.runner.table rounds.jsonl`: the tables of docs/reliability.md, from a record.

With `--into FILE` it replaces the text between the markers of that document, and stores the record beside it.
"""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.faults.runner.record import read

BEGIN, END = "<!-- rounds: begin -->", "<!-- rounds: end -->"
_COUNTS = ("leads", "lost", "doubled", "mails_lost", "mails_doubled")
_HEADER = (
    "| {} | rounds | leads | lost | doubled | emails lost | emails doubled | longest time to quiet |"
    " rounds with violations |\n|---|---|---|---|---|---|---|---|---|"
)
_LOADS = (0, 2, 4, 8, 16)
Line = dict[str, Any]


def render(lines: Sequence[Line]) -> str:
    """Return the tables of a record, as Markdown. Raises `ValueError` for a record without rounds."""
    rounds = [line for line in lines if line["kind"] == "round"]
    if not rounds:
        raise ValueError("the record has no rounds")
    families = sorted({line["family"] for line in rounds})
    parts = [
        "\n".join(_about(lines, rounds)),
        _table("family", rounds, families, lambda line: [line["family"]]),
    ]
    parts.append("By the load average of the machine, at the start or the end of the round, the higher one:")
    parts.append(_by_load(rounds))
    parts += _violations(rounds)
    for family in families:
        own = [line for line in rounds if line["family"] == family]
        faults = sorted({fault for line in own for fault in line["faults"]})
        several = " A round with several faults is in the row of each." if _has_several(own) else ""
        parts.append(f"### Family {family}\n\nBy fault.{several}")
        parts.append(_table("fault", own, faults, lambda line: line["faults"]))
    parts += _not_tried(lines, rounds)
    parts += _skipped(lines, rounds)
    return "\n\n".join(parts) + "\n"


def _has_several(rounds: Sequence[Line]) -> bool:
    return any(len(line["faults"]) > 1 for line in rounds)


def _about(lines: Sequence[Line], rounds: Sequence[Line]) -> list[str]:
    runs = [line for line in lines if line["kind"] == "run"]
    load = [value for line in rounds for value in line["load"]]
    dates = sorted({line["began"][:10] for line in runs})
    quiet = [line["quiet_seconds"] for line in rounds if line["quiet_seconds"] is not None]
    commits = sorted({line["commit"] for line in runs})
    facts = {
        "Commit": ", ".join(
            f"`{commit.rstrip('+')}`" + (" with local changes" if commit.endswith("+") else "")
            for commit in commits
        ),
        "Date": " to ".join(dict.fromkeys((dates[0], dates[-1]))),
        "Time": f"{_minutes(lines):.0f} minutes" + (f" in {len(runs)} runs" if len(runs) > 1 else ""),
        "Machine": "; ".join(sorted({line["machine"] for line in runs})),
        "Seeds": ", ".join(str(seed) for seed in sorted({line["seed"] for line in runs})),
        "Patience": ", ".join(f"{value:g}" for value in sorted({line["patience"] for line in runs})),
        "Load average": f"median {statistics.median(load):.1f}, at most {max(load):.1f}",
        "Time to quiet": f"median {statistics.median(quiet):.0f} s" if quiet else "never quiet",
    }
    return [f"- {name}: {text}" for name, text in facts.items()]


def _minutes(lines: Sequence[Line]) -> float:
    """Return the minutes of all runs. A run without an end counts until the end of its last round."""
    total = 0.0
    for run in (line for line in lines if line["kind"] == "run"):
        ends = [line["minutes"] for line in lines if line["kind"] == "end" and line["run"] == run["run"]]
        if ends:
            total += ends[-1]
            continue
        own = [line for line in lines if line["kind"] == "round" and line["run"] == run["run"]]
        if own:
            began, last = (datetime.fromisoformat(line["began"]) for line in (run, own[-1]))
            total += ((last - began).total_seconds() + own[-1]["seconds"]) / 60
    return total


def _table(
    title: str, rounds: Sequence[Line], names: Sequence[str], names_of: Callable[[Line], Sequence[str]]
) -> str:
    rows = [_row(name, [line for line in rounds if name in names_of(line)]) for name in names]
    return "\n".join([_HEADER.format(title), *rows, _row("**total**", rounds)])


def _row(name: str, rounds: Sequence[Line]) -> str:
    quiet = [line["quiet_seconds"] for line in rounds if line["quiet_seconds"] is not None]
    cells = [name, f"{len(rounds):,}", *(f"{sum(line[count] for line in rounds):,}" for count in _COUNTS)]
    cells.append(f"{max(quiet):.0f} s" if quiet else "none")
    cells.append(str(sum(bool(line["violations"]) for line in rounds)))
    return f"| {' | '.join(cells)} |"


def _by_load(rounds: Sequence[Line]) -> str:
    """Return how the load of the machine and the times of the rounds belong together."""
    rows = [
        "| load average | rounds | median time to quiet | longest | median time of a round |",
        "|---|---|---|---|---|",
    ]
    for least, below in pairwise((*_LOADS, math.inf)):
        own = [line for line in rounds if least <= max(line["load"]) < below]
        quiet = [line["quiet_seconds"] for line in own if line["quiet_seconds"] is not None]
        if not quiet:
            continue
        band = f"{least} to {below}" if below < math.inf else f"{least} and more"
        took = statistics.median(line["seconds"] for line in own)
        middle = statistics.median(quiet)
        rows.append(f"| {band} | {len(own)} | {middle:.0f} s | {max(quiet):.0f} s | {took:.0f} s |")
    return "\n".join(rows)


def _violations(rounds: Sequence[Line]) -> list[str]:
    """Return a line for each round with violations: what, and how to repeat it."""
    found = list[str]()
    for line in rounds:
        if line["violations"]:
            kinds = [f"{kind} x{count}" for kind, count in sorted(line["violation_kinds"].items())]
            first = " ".join(line["violations"][0]["detail"].split())[:200].replace("`", "'")
            found.append(
                f"- {line['family']} {line['seed']}/{line['number']} ({', '.join(line['faults'])}):"
                f" {', '.join(kinds)}. First: `{first}`. Again: `{line['reproduce']}`"
            )
    return ["Rounds with violations:", "\n".join(found)] if found else []


def _not_tried(lines: Sequence[Line], rounds: Sequence[Line]) -> list[str]:
    """Return the faults for which the budget had no time."""
    tried = {(line["family"], fault) for line in rounds for fault in line["faults"]}
    left = dict[str, list[str]]()
    for run in (line for line in lines if line["kind"] == "run"):
        for family, faults in run.get("faults", {}).items():
            left[family] = [fault for fault in faults if (family, fault) not in tried]
    rows = [f"- {family}: {', '.join(sorted(faults))}" for family, faults in sorted(left.items()) if faults]
    if not rows:
        return []
    count = sum(len(faults) for faults in left.values())
    return [f"### Faults without a round\n\nThe budget had no time for these ({count}):", "\n".join(rows)]


def _skipped(lines: Sequence[Line], rounds: Sequence[Line]) -> list[str]:
    reasons = dict[str, str]()
    for line in lines:
        if line["kind"] == "run":
            reasons |= line["missing"]
    for line in rounds:
        reasons |= {f"{line['family']}: {fault}": reason for fault, reason in line["skipped"].items()}
    if not reasons:
        return []
    rows = "\n".join(f"- {fault} ({reason})" for fault, reason in sorted(reasons.items()))
    return ["Faults that this machine could not inject, at least once:", rows]


def write(text: str, document: Path) -> None:
    """Replace what is between the markers of the document. Raises `ValueError` if it has none."""
    before, found, rest = document.read_text().partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found and found_end):
        raise ValueError(f"{document} has no markers for the tables")
    document.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def write_with_record(records: Sequence[Path], document: Path) -> Path:
    """Write the tables of all records into the document, and one record beside it; return its path."""
    lines = [line for record in records for line in read(record)]
    write(render(lines), document)
    beside = document.with_suffix("") / "rounds.jsonl"
    beside.parent.mkdir(exist_ok=True)
    beside.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return beside


def main(
    records: Annotated[
        list[Path], typer.Argument(help="The record of a commit; of several, the result names them.")
    ],
    into: Annotated[Path | None, typer.Option(help="The document to write the tables into.")] = None,
) -> None:
    """Print the tables of a record, or write them into a document and the record beside it."""
    if into is None:
        typer.echo(render([line for record in records for line in read(record)]))
        return
    typer.echo(f"written: {into}, {write_with_record(records, into)}")


if __name__ == "__main__":
    typer.run(main)

"""`python -m tests.bench.compare_runs ONE OTHER`: whether two stored runs agree, row by row."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from tests.bench.bootstrap import overlap
from tests.bench.report import Json, form, interval, rows, span

DIFFERS: Final = "differs"


def compare(one: Json, other: Json) -> dict[tuple[str, str], str]:
    """Return for each row: `overlaps`, `differs`, `too noisy`, `one turn` or `in one run only`."""
    first, second = rows(one), rows(other)
    found = dict.fromkeys((*first, *second), "in one run only")
    for key in first.keys() & second.keys():
        both = first[key], second[key]
        if any(row["ratio"] is None for row in both):
            found[key] = "too noisy"
        elif any(low == high for low, high in map(interval, both)):
            found[key] = "one turn"
        else:
            found[key] = "overlaps" if overlap(*map(interval, both)) else DIFFERS
    return found


def _form(name: Path, data: Json) -> str:
    return f"{name}: {form(data) if 'method' in data else 'lowest and highest ratio instead of intervals'}"


def main(
    one: Annotated[Path, typer.Argument(help="A run as JSON, from `--out`.")],
    other: Annotated[Path, typer.Argument(help="Another run.")],
) -> None:
    """Compare two runs. Ends with 1 if the intervals of a row do not overlap."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    runs = [json.loads(path.read_text()) for path in (one, other)]
    found = compare(*runs)
    shown = Table("what", "against", "one", "other", "intervals")
    for key, said in found.items():
        each = [rows(data).get(key) for data in runs]
        shown.add_row(*key, *(span(interval(row)) if row else "" for row in each), said)
    console.print(shown, *(map(_form, (one, other), runs)), sep="\n")
    console.print(", ".join(f"{count} {said}" for said, count in Counter(found.values()).items()))
    sys.exit(DIFFERS in found.values())


if __name__ == "__main__":
    typer.run(main)

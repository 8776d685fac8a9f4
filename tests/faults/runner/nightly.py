"""`python -m tests.faults.runner.nightly`: the date as seed, and the result in docs/reliability.md."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tests.faults.runner.record import ROOT, read
from tests.faults.runner.table import write_with_record

FOLDER = ROOT / ".fastcore" / "faults" / "nightly"


def main(
    *,
    minutes: Annotated[float, typer.Option(help="The budget.")] = 240,
    patience: Annotated[float, typer.Option(min=1, help="Factor for every bound.")] = 1,
    into: Annotated[Path, typer.Option(help="The document with the tables.")] = ROOT / "docs/reliability.md",
) -> None:
    """Run all families, and write the tables and the record, also after violations. Exits as the run does."""
    today = datetime.now(UTC)
    record = FOLDER / f"{today:%Y%m%dT%H%M%S}.jsonl"
    options = ("--minutes", f"{minutes:g}", "--patience", f"{patience:g}", "--seed", f"{today:%Y%m%d}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *options, "--record", str(record)], cwd=ROOT, check=False
    )
    if record.exists() and any(line["kind"] == "round" for line in read(record)):
        write_with_record([record], into)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    typer.run(main)

"""`python -m tests.faults.broken`: break the product on purpose, and see that the suite reports it.

Each break edits the product's source (`breaks.py`) in a copy of this commit. A family of faults that does not
report its break has checks or a load that are too weak.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from tests.faults.breaks import BROKEN, Broken
from tests.faults.runner.record import read

ROOT: Final = Path(__file__).parents[2]


def find(name: str, patience: float, kept: Path | None = None) -> list[str]:
    """Run the break's fault on the broken product, with one seed after the other until its violation shows.

    Returns the violations of that round, or nothing. `kept` gets the traces and the violations of all rounds.
    """
    broken = BROKEN[name]
    with _checkout() as copy:
        apply(broken, copy)
        for seed in range(1, broken.seeds + 1):
            record = copy / ".fastcore" / f"rounds-{seed}.jsonl"
            subprocess.run(
                [
                    *(sys.executable, "-m", "tests.faults", "--family", broken.family),
                    *("--fault", broken.fault, "--rounds", "1", "--seed", str(seed)),
                    *("--patience", f"{patience:g}", "--record", str(record)),
                ],
                cwd=copy,
                check=False,
            )
            lines = [line for line in read(record) if line["kind"] == "round"]
            violations = [
                f"{each['kind']}: {each['detail']}" for line in lines for each in line["violations"]
            ]
            if kept:
                _keep(copy, kept / f"{name.replace(' ', '-')}-{seed}")
            if any(broken.shows in each for each in violations):
                return violations
    return []


def apply(broken: Broken, root: Path) -> None:
    """Edit the product in a checkout. Raises `ValueError` unless each text is there exactly once."""
    for file, old, new in broken.edits:
        path = root / file
        text = path.read_text()
        if (count := text.count(old)) != 1:
            raise ValueError(f"{file} has {count} times: {old}")
        path.write_text(text.replace(old, new))


@contextlib.contextmanager
def _checkout() -> Iterator[Path]:
    """Yield a copy of this commit, with the local changes of its files."""
    with tempfile.TemporaryDirectory(prefix="broken-") as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "checkout"
        commit = _git("stash", "create") or "HEAD"
        _git("worktree", "add", "--quiet", "--detach", str(copy), commit)
        try:
            yield copy
        finally:
            _git("worktree", "remove", "--force", str(copy))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _keep(copy: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in copy.glob(".fastcore/faults/*/*/round-*/*"):
        if path.is_file():
            path.rename(folder / path.name)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Only these breaks.")] = None,
    *,
    list_: Annotated[
        bool, typer.Option("--list", help="List the breaks, and the fault that shows each.")
    ] = False,
    patience: Annotated[float, typer.Option(min=1, help="Factor for every bound.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="Keep the evidence of each round here.")] = None,
) -> None:
    """Run each break's fault on the broken product. Exits with 1 if one is not reported."""
    chosen = {name: BROKEN[name] for name in names or BROKEN}
    if list_:
        for name, broken in chosen.items():
            typer.echo(f"{name} ({broken.family}, {broken.fault}): {broken.about}")
        return
    missed = 0
    for name, broken in chosen.items():
        violations = find(name, patience, keep)
        shown = [each for each in violations if broken.shows in each]
        missed += not shown
        said = f"{len(shown)} times `{shown[0]}`, {len(violations)} violations" if shown else "NOT FOUND"
        typer.echo(f"{name}: {said}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)

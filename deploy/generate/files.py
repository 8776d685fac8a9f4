"""Writes or checks generated files."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def write_files(files: Mapping[Path, str], *, check: bool, target: str) -> None:
    """Write the files that are out of date.

    With `check`, write nothing, and exit with 1 if a file is out of date. `target` is the target of `make`
    that writes the files.
    """
    outdated = []
    for path, text in files.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        outdated.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and outdated:
        sys.exit(f"out of date: {', '.join(outdated)} (run: make {target})")
    print(f"written: {', '.join(outdated)}" if outdated else f"the {target} are up to date")

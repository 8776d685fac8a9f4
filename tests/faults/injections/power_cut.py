"""Simulates a power loss: files keep only the bytes that were fsynced (see `power/sitecustomize.py`)."""

import json
from pathlib import Path

SUFFIX = ".spool"
HOOK = Path(__file__).parent / "power"


def variables(folder: Path) -> dict[str, str]:
    """Return the variables that make a process record its fsyncs."""
    return {"PYTHONPATH": str(HOOK), "FASTCORE_FAULTS_SYNCED": str(folder / "synced.jsonl")}


def truncate_unsynced(folder: Path, root: Path) -> int:
    """Truncate the files under `root` to their fsynced bytes; return the number of lost bytes."""
    sizes, named, lost = dict[str, int](), set[str](), 0
    notes = folder / "synced.jsonl"
    for line in notes.read_text().splitlines() if notes.exists() else ():
        note = json.loads(line)
        sizes[note["path"]] = note["size"]
        named |= {f"{note['path']}/{name}" for name in note["names"]}
    for path in root.glob(f"*/*{SUFFIX}"):
        kept = sizes.get(str(path.resolve()), 0) if str(path.resolve()) in named else 0
        lost += path.stat().st_size - kept
        with path.open("r+b") as file:
            file.truncate(kept)
    return lost

"""What the disk would hold after a cut of the power: only what was fsynced (see `power/sitecustomize.py`)."""

import json
from pathlib import Path

SUFFIX = ".spool"
HOOK = Path(__file__).parent / "power"


def environment(folder: Path) -> dict[str, str]:
    """Make a process note what it fsyncs."""
    return {"PYTHONPATH": str(HOOK), "FASTCORE_FAULTS_SYNCED": str(folder / "synced.jsonl")}


def cut(folder: Path, root: Path) -> int:
    """Take away what was not fsynced of the files under `root`; return how many bytes that were."""
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

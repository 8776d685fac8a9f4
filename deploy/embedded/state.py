"""What runs, written by `up` for the other commands to find."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.embedded import secret_files
from deploy.embedded.processes import orphans


@dataclass(frozen=True)
class State:
    """One running stack."""

    pid: int
    url: str
    parts: list[str]
    """The parts that are ours; a given server stands for the others."""
    environment: dict[str, str]
    """What points a service or a test here, passwords included."""


def read(folder: Path) -> State | None:
    """Answer the state while its supervisord lives."""
    if orphans.supervisor(folder) is None:
        return None
    try:
        return State(**json.loads(_path(folder).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(folder: Path, state: State) -> None:
    """Keep the state, readable to its owner only."""
    secret_files.write(_path(folder), json.dumps(asdict(state)))


def forget(folder: Path) -> None:
    """Nothing runs any more."""
    _path(folder).unlink(missing_ok=True)


def _path(folder: Path) -> Path:
    return folder / "run" / "state.json"

"""The state file: `up` writes what runs, and the other commands read it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.embedded import secret_files
from deploy.embedded.processes import orphans


@dataclass(frozen=True)
class State:
    """One running stack. `pid` is supervisord's process id, and `url` is the address of the edge."""

    pid: int
    url: str
    servers: list[str]
    """The embedded servers. The installation uses external servers in place of the others."""
    environment: dict[str, str]
    """The variables that point a service or a test at this stack, passwords included."""
    mail_problem: str = ""
    """Why the mail server that SMTP_HOST names did not work at the start; empty if it did."""


def read(folder: Path) -> State | None:
    """Return the state that `up` wrote, or None if the folder's supervisord does not run."""
    if orphans.find_supervisor(folder) is None:
        return None
    try:
        return State(**json.loads(_path(folder).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(folder: Path, state: State) -> None:
    """Write the state file, readable by its owner only."""
    secret_files.write(_path(folder), json.dumps(asdict(state)))


def delete(folder: Path) -> None:
    """Delete the state file of a stack that has stopped."""
    _path(folder).unlink(missing_ok=True)


def _path(folder: Path) -> Path:
    return folder / "run" / "state.json"

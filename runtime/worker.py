"""Tells a process whether it is a worker: one of several processes of a service that share a port.

`current_worker` returns None in a process that shares its port with no other.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

# Set by the supervisor of the workers for its children only. Not a setting.
VARIABLE: Final = "_FASTCORE_WORKER"
METRICS: Final = "metrics"


@dataclass(frozen=True)
class Worker:
    """A worker's number, which its successor gets too, and what its supervisor passes on to it.

    `folder` is shared by all workers of the service. `listeners` are the descriptors of the inherited
    listening sockets. `supervisor` is the descriptor of a socket that is connected to the supervisor.
    """

    number: int
    count: int
    folder: Path
    listeners: tuple[int, ...]
    supervisor: int

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the worker that `to_json` has described."""
        number, count, folder, listeners, supervisor = json.loads(text)
        return cls(number, count, Path(folder), tuple(listeners), supervisor)

    def to_json(self) -> str:
        """Return the value of the environment variable that tells a process which worker it is."""
        return json.dumps([self.number, self.count, str(self.folder), self.listeners, self.supervisor])

    @property
    def metrics_folder(self) -> Path:
        """The folder of the files in which all workers count."""
        return self.folder / METRICS


def current_worker() -> Worker | None:
    """Return the worker that this process is, or None if the process shares its port with no other."""
    text = os.environ.get(VARIABLE)
    return Worker.from_json(text) if text else None

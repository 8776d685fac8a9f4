"""Describes how one program of the stack is started and stopped."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Every process of a stack has its data folder in this variable. So before a process that a crash left behind
#: is stopped, it can be distinguished from a foreign process.
OWNER_VARIABLE = "FASTCORE_EMBEDDED_OWNER"


@dataclass(frozen=True)
class Launch:
    """One program: its command, its user, and how to stop it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    folder: Path | None = None
    """The working directory. Default: the checkout, which an unprivileged user may not enter."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: int = 15

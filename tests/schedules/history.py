"""What happened in one schedule, in lines that a person can read."""

from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from tests.schedules.simulation.event_loop import current_process

# A schedule that fails prints its last lines. All of them: `--history`.
LAST_LINES: Final = 60


@dataclass
class History:
    """The lines of one schedule. `clock` returns the virtual time."""

    clock: Any
    started: float
    lines: list[str] = field(default_factory=list)

    def note(self, text: str, who: str = "") -> None:
        """Add a line with the time in seconds since the start."""
        self.lines.append(f"{self.clock() - self.started:9.3f}  {who or 'cluster':<11}  {text}")

    def log(self, _: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        """Add a log entry of the product; a processor of structlog."""
        text = str(event.pop("event", ""))
        error = event.pop("exc_info", None)
        if error:
            event["error"] = repr(error)
        values = " ".join(f"{name}={value}" for name, value in sorted(event.items()))
        self.note(f"{level.upper()} {text} {values}", current_process().name)
        raise structlog.DropEvent

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def tail(self) -> str:
        """Return the last lines."""
        return "\n".join(self.lines[-LAST_LINES:])

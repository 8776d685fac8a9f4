"""What the checkers report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """A broken guarantee. `lead_id` is the affected lead."""

    kind: str
    detail: str
    lead_id: str | None = None

"""How a step of the embedded stack reports what it is doing."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Receives one line for each step as it begins."""


def silent(line: str) -> None:
    """Discard the line. Tests and libraries use this."""

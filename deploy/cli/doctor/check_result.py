"""What a check found, in words for a person. No check lives here, and no secret may."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One box of the checklist: what was seen, and what to do where it is not well."""

    check: str
    level: Level
    seen: str
    todo: str = ""


def ok(check: str, seen: str) -> Finding:
    """Tell that all is well."""
    return Finding(check, "ok", seen)


def warn(check: str, seen: str, todo: str) -> Finding:
    """Tell of what works, but not as production should."""
    return Finding(check, "warn", seen, todo)


def fail(check: str, seen: str, todo: str) -> Finding:
    """Tell of what does not work, or of a promise that does not hold."""
    return Finding(check, "fail", seen, todo)


def is_this_machine(host: str | None) -> bool:
    """Return True where what is said to this host leaves no machine."""
    if not host or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

"""The result of one of the doctor's checks, and the functions that create it. Never put a secret into it."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. The doctor's JSON output has the same field names."""

    check: str
    level: Level
    seen: str
    """What the check observed."""
    todo: str = ""
    """What the operator should do. Empty if all is well."""


def ok(check: str, seen: str) -> CheckResult:
    """Return the result of a passed check. `seen` is what the check observed."""
    return CheckResult(check, "ok", seen)


def warn(check: str, seen: str, todo: str) -> CheckResult:
    """Return a warning: something works, but not as production should. `todo` says what to do."""
    return CheckResult(check, "warn", seen, todo)


def fail(check: str, seen: str, todo: str) -> CheckResult:
    """Return a failure: something does not work, or a guarantee does not hold. `todo` says what to do."""
    return CheckResult(check, "fail", seen, todo)


def is_this_machine(host: str | None) -> bool:
    """Return True if traffic to this host stays on the machine.

    This holds for a loopback address, for a socket, and if no host is given.
    """
    if not host or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

"""Decides which hop fails, from what the hops wrote about the newest canaries of one route. No I/O, no clock.

Nothing is guessed: a hop fails if it wrote so, or if it wrote nothing within `DEADLINE`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.admin.schemas.canary import CanaryHop, CanaryRoute, HopState

# The test of a mail server takes 30 s at most, that of a destination 15 s.
DEADLINE: Final = timedelta(seconds=90)
FAILING_AFTER: Final = 2
"""So many canaries in a row make an alert: one may meet a restart."""
_FRONTS: Final[Mapping[str, tuple[str, ...]]] = {
    "form": ("gateway", "token", "form", "kafka"),
    "api": ("gateway", "token", "request", "kafka"),
    "website": ("website", "token", "gateway", "kafka"),
}
_BRANCHES: Final = (("persister", "postgresql"), ("notifier", "smtp"), ("webhooks",))
_DESTINATION: Final = "destination:"
_SILENT: Final = f"wrote nothing within {DEADLINE.total_seconds():.0f} s"
_UNREAD: Final = f"no service read the record within {DEADLINE.total_seconds():.0f} s"


@dataclass(frozen=True)
class HopResult:
    """What a hop wrote. Without a `reason`, it works; `note` is no failure."""

    ok: bool
    reason: str
    seconds: float
    finished_at: datetime


@dataclass(frozen=True)
class SentCanary:
    """A canary, and what the hops wrote about it, by hop."""

    id: UUID
    site: str
    route: str
    sent_at: datetime
    results: dict[str, HopResult] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    """The state of a hop in one canary."""

    state: HopState
    reason: str = ""


def route_status(
    canaries: Sequence[SentCanary], last_worked: Mapping[str, HopResult], now: datetime
) -> CanaryRoute:
    """Return the status of one route. `canaries` are its newest, the newest first, at least one.

    `last_worked` is the last success of each hop.
    """
    seen = [_hops_of(each, now) for each in canaries]
    # The newest canary that is through. While it is under way, the one before says what works.
    settled = [each for each in seen if not any(hop.state == "waiting" for hop in each.values())]
    shown = settled[0] if settled else seen[0]
    hops = []
    for hop, each in shown.items():
        failures = _failures_in_a_row(hop, settled)
        worked = last_worked.get(hop)
        hops.append(
            CanaryHop(
                hop=hop,
                state=each.state,
                reason=each.reason,
                failures=failures,
                last_worked_at=worked.finished_at if worked else None,
                seconds=round(worked.seconds, 3) if worked else None,
            )
        )
    found = {each.state for each in hops}
    order: tuple[HopState, ...] = ("failing", "waiting")
    state: HopState = next((each for each in order if each in found), "ok")
    newest = canaries[0]
    return CanaryRoute.model_validate(
        {"site": newest.site, "route": newest.route, "sent_at": newest.sent_at, "state": state, "hops": hops}
    )


def hops_of(canaries: Sequence[SentCanary]) -> set[str]:
    """Return the hops that canaries of one route reach, at least one canary."""
    found = {hop for each in canaries for hop in each.results}
    return found.union(_FRONTS[canaries[0].route], *_BRANCHES)


def _failures_in_a_row(hop: str, settled: Sequence[Mapping[str, _Seen]]) -> int:
    failures = 0
    for each in settled:
        if hop not in each or each[hop].state != "failing":
            break
        failures += 1
    return failures


def _hops_of(canary: SentCanary, now: datetime) -> dict[str, _Seen]:
    """Return the state of each hop, in the order in which the canary reaches them."""
    is_late = now - canary.sent_at > DEADLINE
    front = _FRONTS[canary.route]
    if not any(hop in canary.results for hop in front) and is_late:
        # The flusher ended between the insert and the result of its post.
        return {"flusher": _Seen("failing", _SILENT), **dict.fromkeys(front, _Seen("unreached"))}
    hops = _walk(canary, front, is_late=is_late)
    reached = all(each.state in ("ok", "waiting") for each in hops.values())
    branches: dict[str, _Seen] = {}
    for branch in _branches_of(canary):
        branches |= _walk(canary, branch, is_late=is_late, is_reached=reached)
    if "kafka" not in canary.results and reached:
        # Through a website, only the record itself shows that Kafka has it.
        firsts = [branches[branch[0]] for branch in _BRANCHES]
        if all(each.state == "failing" for each in firsts):
            hops["kafka"] = _Seen("failing", _UNREAD)
            branches = dict.fromkeys(branches, _Seen("unreached"))
        else:
            hops["kafka"] = _Seen("ok" if any(each.state == "ok" for each in firsts) else "waiting")
    return hops | branches


def _branches_of(canary: SentCanary) -> list[tuple[str, ...]]:
    destinations = sorted(hop for hop in canary.results if hop.startswith(_DESTINATION))
    return [*_BRANCHES[:2], _BRANCHES[2], *((each,) for each in destinations)]


def _walk(
    canary: SentCanary, hops: Sequence[str], *, is_late: bool, is_reached: bool = True
) -> dict[str, _Seen]:
    """Return the state of hops that a canary reaches one after the other."""
    seen: dict[str, _Seen] = {}
    for number, hop in enumerate(hops):
        result = canary.results.get(hop)
        later = any(other in canary.results for other in hops[number + 1 :])
        if result and result.ok:
            seen[hop] = _Seen("ok", result.reason)
        elif result:
            seen[hop] = _Seen("failing", result.reason)
            is_reached = False
        elif not is_reached or later:
            seen[hop] = _Seen("unreached")
        elif is_late and hop != "kafka":
            seen[hop] = _Seen("failing", _SILENT)
            is_reached = False
        else:
            seen[hop] = _Seen("waiting")
    return seen

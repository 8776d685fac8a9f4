"""The state of a gateway with several workers, merged from the states of its workers."""

from collections.abc import Mapping
from typing import Any, Final

from runtime import metrics
from services.ingest.workers.other_workers import OtherWorkers, State

PART: Final = "workers"


class GatewayHealth:
    """The readiness of all workers. `/readyz` and `/metrics` of each worker refresh it."""

    def __init__(self, workers: OtherWorkers) -> None:
        self._workers = workers
        self._report: dict[str, Any] = {}

    async def refresh(self) -> None:
        """Have all workers run their checks and set their gauges. Takes 1.8 s if one of them hangs."""
        states = await self._workers.read()
        metrics.WORKERS_MISSING.set(len(states) - len(_answering(states)))
        self._report = merge_readiness(states)

    @property
    def ready(self) -> bool:
        """Return True if at least one worker answers, and every part works in each that does."""
        return self._report.get("status") == "ready"

    def report(self) -> dict[str, object]:
        """Return the state of each part, ready for JSON."""
        return self._report


def _answering(states: Mapping[int, State | None]) -> dict[int, State]:
    return {number: state for number, state in states.items() if state is not None}


def merge_readiness(states: Mapping[int, State | None]) -> dict[str, Any]:
    """Return the report of `/readyz`. A part works if it works in all workers that answer.

    The part `workers` names those that do not answer. It does not affect the readiness: while a worker is
    replaced, the others accept all connections.
    """
    parts: dict[str, Any] = {}
    for number, state in _answering(states).items():
        for name, part in state["readiness"]["parts"].items():
            if name not in parts or (parts[name]["ok"] and not part["ok"]):
                reason = part["reason"] and f"worker {number}: {part['reason']}"
                parts[name] = {**part, "reason": reason}
    is_ready = bool(parts) and all(part["ok"] for part in parts.values())
    silent = [str(number) for number, state in states.items() if state is None]
    reason = f"no answer from worker {', '.join(silent)} of {len(states)}" if silent else ""
    parts[PART] = {"ok": not silent, "reason": reason}
    return {"status": "ready" if is_ready else "not ready", "parts": dict(sorted(parts.items()))}


def merge_status(states: Mapping[int, State | None], leads: int, size: int) -> dict[str, Any]:
    """Return the body of `/internal/status`. `leads` and `size` are those of all spools.

    The breaker is open if it is open in any worker, and Kafka is available if all workers reach it.
    """
    workers = [state["status"] for state in _answering(states).values()]
    spools = [each["spool"] for each in workers]
    ages = [each["oldest_age_seconds"] for each in spools if each["oldest_age_seconds"] is not None]
    kafka = [each["kafka"] for each in workers if each["kafka"]]
    return {
        "spool": {
            "depth": leads,
            "bytes": size,
            "oldest_age_seconds": max(ages, default=None),
            "damaged_files": max(each["damaged_files"] for each in spools),  # each counts those of all
        },
        "breaker": "open" if any(each["breaker"] == "open" for each in workers) else "closed",
        "kafka": min(kafka, key=lambda part: bool(part["ok"]), default=None),
        "workers": {"count": len(states), "answering": len(workers)},
    }

"""The health of a process: its parts with their checks, and the routes `/livez`, `/readyz` and `/metrics`."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from runtime import REVISION, VERSION, metrics
from runtime.failures import Failure
from runtime.logs import logger
from runtime.service_metrics import current_registry

# Below the 2 s timeout of the readiness probes (deploy/kubernetes), so that they get a report with the part.
CHECK_SECONDS: Final = 1.5
# Anyone may read readiness, many times a second: the checks run at most once a second.
REUSE_SECONDS: Final = 1.0

Check: TypeAlias = Callable[[], Awaitable[None]]
"""Returns if the part works now; raises a `Failure` with the reason if it does not."""


@dataclass
class Part:
    """A dependency or task that this process needs, and its state.

    `reason` is our own text. `since` (in UTC) and `changed` (monotonic seconds) say when `ok` last changed.
    """

    ok: bool
    reason: str
    since: datetime
    changed: float


@dataclass
class Health:
    """The state of each part that a process needs.

    Prefer `check`: it registers a function that is called whenever the state is read. Use `set` only in a
    loop that calls it regularly, because the state does not change until the next call.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    _checks: dict[str, Check] = field(default_factory=dict)
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _refreshing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reuse_until: float = 0.0

    def check(self, name: str, check: Check) -> None:
        """Register the check of a part. It replaces an earlier check of the same name."""
        self._checks[name] = check
        self._reuse_until = 0.0
        self.set(name, ok=False, reason="not checked yet")

    def set(self, name: str, *, ok: bool, reason: str = "") -> bool:
        """Set a part's state; return True if it changed."""
        known = self.parts.get(name)
        if known and known.ok == ok and known.reason == reason:
            return False
        same = known is not None and known.ok == ok
        since = known.since if known and same else datetime.now(UTC)
        changed = known.changed if known and same else time.monotonic()
        self.parts[name] = Part(ok, reason, since, changed)
        metrics.PART_UP.labels(part=name).set(1 if ok else 0)
        return True

    async def refresh(self) -> None:
        """Run all checks concurrently. Returns within `CHECK_SECONDS`, even if a check hangs."""
        async with self._refreshing:
            if time.monotonic() >= self._reuse_until:
                await asyncio.gather(*(self._run_check(name, check) for name, check in self._checks.items()))
                self._reuse_until = time.monotonic() + REUSE_SECONDS

    async def _run_check(self, name: str, check: Check) -> None:
        # Do not start a check again while it is still running because it ignored its cancellation.
        task = self._running.get(name) or asyncio.create_task(
            self._set_from_check(name, check), name=f"check {name}"
        )
        self._running[name] = task
        await asyncio.wait({task}, timeout=CHECK_SECONDS)
        if task.done():
            del self._running[name]
        else:
            task.cancel()
            self.set(name, ok=False, reason=f"no answer within {CHECK_SECONDS:g} s")

    async def _set_from_check(self, name: str, check: Check) -> None:
        try:
            await check()
        except Failure as failure:
            self.set(name, ok=False, reason=failure.reason)
        except Exception as error:  # noqa: BLE001 - a bug in a check must not break /readyz
            if self.set(name, ok=False, reason=f"check failed ({type(error).__name__})"):
                logger("health").error("check failed", part=name, error=type(error).__name__)
        else:
            self.set(name, ok=True)

    @property
    def ready(self) -> bool:
        """Return True if every part works, and at least one part is known."""
        return bool(self.parts) and all(part.ok for part in self.parts.values())

    def report(self) -> dict[str, object]:
        """Return the state of each part, ready for JSON."""
        return {
            "status": "ready" if self.ready else "not ready",
            "parts": {
                name: {"ok": part.ok, "reason": part.reason, "since": part.since.isoformat()}
                for name, part in sorted(self.parts.items())
            },
        }


class Readiness(Protocol):
    """What `/readyz` reports. `Health` is that of one process."""

    @property
    def ready(self) -> bool:
        """Return True if every part that affects readiness works."""

    async def refresh(self) -> None:
        """Run the checks. Returns in less than the 2 s that a probe waits."""

    def report(self) -> dict[str, object]:
        """Return the state of each part, ready for JSON."""


def write_own_metrics() -> bytes:
    """Return the metrics of the service that the current task works for, as Prometheus reads them."""
    return generate_latest(current_registry())


def routes(
    health: Readiness, *reported: Health, write_metrics: Callable[[], bytes] = write_own_metrics
) -> APIRouter:
    """Return the routes that every service has.

    `/metrics` also contains the parts of the `reported` objects. Those parts do not affect readiness.
    `write_metrics` returns the page after all checks. Call it in the context of the service.
    """
    router = APIRouter(tags=["operations"])
    python_version = platform.python_version()
    metrics.BUILD.labels(version=VERSION, revision=REVISION, python_version=python_version).set(1)

    @router.get("/livez", summary="Is the process alive?")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/readyz",
        summary="Can it do its work now?",
        responses={503: {"description": "A required part is unavailable; the body names it."}},
    )
    async def readyz() -> JSONResponse:
        await health.refresh()
        return JSONResponse(health.report(), status_code=200 if health.ready else 503)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics_page() -> Response:
        await asyncio.gather(*(each.refresh() for each in (health, *reported)))
        return Response(write_metrics(), media_type=CONTENT_TYPE_LATEST)

    return router

"""`/livez`, `/readyz` and `/metrics`: what a process says of itself. No checks of its own live here."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from runtime import metrics


@dataclass
class Part:
    """One thing that this process needs. `reason` is our own word; `since` is aware UTC."""

    ok: bool
    reason: str
    since: datetime
    changed: float


@dataclass
class Health:
    """What is ready and what is not. A part says so itself, as it happens: no polling."""

    parts: dict[str, Part] = field(default_factory=dict)

    def set(self, name: str, *, ok: bool, reason: str = "") -> bool:
        """Record a part's state; return True where it changed."""
        known = self.parts.get(name)
        if known and known.ok == ok and known.reason == reason:
            return False
        same = known is not None and known.ok == ok
        since = known.since if known and same else datetime.now(UTC)
        changed = known.changed if known and same else time.monotonic()
        self.parts[name] = Part(ok, reason, since, changed)
        metrics.PART_UP.labels(part=name).set(1 if ok else 0)
        return True

    @property
    def ready(self) -> bool:
        """Return True once every known part is well."""
        return bool(self.parts) and all(part.ok for part in self.parts.values())

    def report(self) -> dict[str, object]:
        """Return the state of each part as JSON-able data."""
        return {
            "status": "ready" if self.ready else "not ready",
            "parts": {
                name: {"ok": part.ok, "reason": part.reason, "since": part.since.isoformat()}
                for name, part in sorted(self.parts.items())
            },
        }


def routes(health: Health) -> APIRouter:
    """Return the three routes that every service has."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez", summary="Is the process alive?")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/readyz",
        summary="Can it do its work now?",
        responses={503: {"description": "A part that it needs is away; the body names it."}},
    )
    async def readyz() -> JSONResponse:
        return JSONResponse(health.report(), status_code=200 if health.ready else 503)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics_page() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router

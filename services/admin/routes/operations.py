"""The installation: its jobs, and the health of every part."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from runtime.failures import WorldAway
from services.admin.readings import Jobs, PartHealth, SystemHealth
from services.admin.routes.given import Given

router = APIRouter(tags=["operations"])


@router.get("/scheduler/jobs", summary="The scheduled jobs and how their last runs went")
async def list_jobs(given: Given) -> Jobs:
    """Return each job: schedule, last run, outcome, duration, next run."""
    return Jobs(jobs=await given.store.list_jobs())


@router.get(
    "/health",
    summary="The state of the whole",
    responses={503: {"model": SystemHealth, "description": "A part is down; the body names it."}},
)
async def health(response: Response, given: Given) -> SystemHealth:
    """Ask database, broker, mail and each service, all at once and each for a moment only."""
    database, broker, services = await asyncio.gather(
        _try(given.store.ping()), _try(given.lag.ping()), given.peers.ask_services()
    )
    mail = _mail(services)
    down = any(part.state == "down" for part in (database, broker, mail, *services.values()))
    response.status_code = 503 if down else 200
    return SystemHealth(
        status="down" if down else "up",
        at=datetime.now(UTC),
        database=database,
        broker=broker,
        mail=mail,
        services=services,
    )


async def _try(question: Coroutine[Any, Any, None]) -> PartHealth:
    try:
        await question
    except WorldAway as away:
        return PartHealth(state="down", reason=away.reason)
    return PartHealth(state="up")


def _mail(services: dict[str, PartHealth]) -> PartHealth:
    """Return what the notifier says of its mail server: it alone talks to it."""
    parts = services["notifier"].parts if "notifier" in services else None
    smtp = parts.get("smtp") if parts else None
    if not isinstance(smtp, dict):
        return PartHealth(state="unknown", reason="the notifier does not say")
    return PartHealth(state="up" if smtp.get("ok") else "down", reason=str(smtp.get("reason") or "") or None)

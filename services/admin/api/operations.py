"""The system: its scheduled jobs, and the health of its services and dependencies."""

from fastapi import APIRouter, Response

from services.admin.adapters import CurrentAdapters
from services.admin.schemas.canary import CanaryStatus
from services.admin.schemas.system import Jobs, SystemHealth

router = APIRouter(tags=["operations"])


@router.get("/scheduler/jobs", summary="The scheduled jobs and how their last runs ended")
async def list_jobs(adapters: CurrentAdapters) -> Jobs:
    """Return each scheduled job with its schedule, its last run (outcome and duration) and its next run.

    Also returns the retry schedule of each stage.
    """
    return await adapters.system.read_jobs()


@router.get("/canary/status", summary="The canary: what each hop did with the last ones")
async def canary(adapters: CurrentAdapters) -> CanaryStatus:
    """Return each route of each site with its hops: which of them fail, and when each last worked."""
    return await adapters.canaries()


@router.get(
    "/health",
    summary="The health of the whole installation",
    responses={503: {"model": SystemHealth, "description": "A part is down; the body names it."}},
)
async def health(response: Response, adapters: CurrentAdapters) -> SystemHealth:
    """Check the database, the broker, the mail server and each service, all concurrently within seconds."""
    system_health = await adapters.system.read_health()
    response.status_code = 503 if system_health.status == "down" else 200
    return system_health

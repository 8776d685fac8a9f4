"""The installation: its jobs, and the health of every part."""

from fastapi import APIRouter, Response

from services.admin.api.dependencies import Given
from services.admin.monitoring.system_status import survey_health
from services.admin.schemas.system import Jobs, SystemHealth

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
    found = await survey_health(given)
    response.status_code = 503 if found.status == "down" else 200
    return found

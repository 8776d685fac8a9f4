"""The scheduled tasks: their schedules, last runs and next runs. Also the retry schedules."""

from fastapi import APIRouter, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, render

router = APIRouter(prefix="/admin/ui/jobs", route_class=PageRoute)


@router.get("")
async def show_jobs(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Show each scheduled task and its last run, and the retry schedule of each processing step."""
    read = await adapters.system.read_jobs()
    return render(request, session, "jobs.html", jobs=read.jobs, retries=read.retries)

"""The scheduled tasks: their schedules, last runs and next runs."""

from fastapi import APIRouter, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, render

router = APIRouter(prefix="/admin/ui/jobs", route_class=PageRoute)


@router.get("")
async def show_jobs(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Show each scheduled task and its last run."""
    return render(request, session, "jobs.html", jobs=await adapters.system.list_jobs())

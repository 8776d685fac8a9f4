"""The scheduled jobs: what runs by itself, how it went, when it runs next."""

from fastapi import APIRouter, Request, Response

from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.rendering import PageRoute, render

router = APIRouter(prefix="/admin/ui/jobs", route_class=PageRoute)


@router.get("")
async def show(request: Request, visitor: Visit, given: Given) -> Response:
    """Show each job and its last run."""
    return render(request, visitor, "jobs.html", jobs=await given.store.list_jobs())

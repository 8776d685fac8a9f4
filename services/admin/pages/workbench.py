"""The workbench: what is stuck and why, push it on, or set it aside."""

from fastapi import APIRouter, Request, Response

from services.admin.filters import QueueFilter
from services.admin.pages.page import PageRoute, render
from services.admin.pages.visit import Given, Visit

router = APIRouter(prefix="/admin/ui/workbench", route_class=PageRoute)


@router.get("")
async def show(request: Request, visitor: Visit, given: Given) -> Response:
    """Show the rows of the queue, the last failure first."""
    page = await given.store.list_queue(QueueFilter())
    return render(request, visitor, "workbench.html", page=page)

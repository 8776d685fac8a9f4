"""The page for unknown paths under /admin/ui."""

from fastapi import APIRouter

from services.admin.dashboard.rendering import PageRoute
from services.admin.rules.errors import NotFoundError
from services.admin.texts import gettext

router = APIRouter(prefix="/admin/ui", route_class=PageRoute)


@router.get("/{rest:path}")
async def show_not_found(rest: str) -> None:  # noqa: ARG001 - FastAPI passes the matched path
    """Raise `NotFoundError`, which `PageRoute` renders as an error page."""
    raise NotFoundError(gettext("This page does not exist."))

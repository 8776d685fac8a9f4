"""What is no page: an address that was mistyped, or is of another version. For people, not for programs."""

from fastapi import APIRouter

from services.admin.dashboard.rendering import PageRoute
from services.admin.rules.lead_rules import Unknown

router = APIRouter(prefix="/admin/ui", route_class=PageRoute)


@router.get("/{rest:path}")
async def show(rest: str) -> None:  # noqa: ARG001 - names the part of the path
    """Say that it is not there."""
    raise Unknown("There is no such page.")

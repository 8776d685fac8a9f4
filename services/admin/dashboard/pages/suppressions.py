"""The page of the suppression list: addresses that get no confirmation."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from pydantic import ValidationError

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, redirect, render
from services.admin.schemas.suppressions import NewSuppression, SuppressionFilter

router = APIRouter(prefix="/admin/ui/suppressions", route_class=PageRoute)
PAGE = "/admin/ui/suppressions"
SHOWN = 200


@router.get("")
async def show_suppressions(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Show the newest entries, and the form for a new one."""
    return await _render(request, session, adapters)


@router.post("")
async def add_suppression(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    email: Annotated[str, Form()] = "",
    site: Annotated[str, Form()] = "",
) -> Response:
    """Add an entry. An invalid address is shown again, with an error."""
    try:
        new = NewSuppression.model_validate({"email": email.strip(), "site": site or None})
    except ValidationError:
        return await _render(request, session, adapters, invalid=email, status=422)
    await adapters.suppressions.add(new, session.actor)
    return redirect(request, PAGE)


@router.post("/{suppression_id}/remove")
async def remove_suppression(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, suppression_id: UUID
) -> Response:
    """Remove an entry."""
    await adapters.suppressions.remove(suppression_id, session.actor)
    return redirect(request, PAGE)


async def _render(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    invalid: str = "",
    status: int = 200,
) -> Response:
    found = await adapters.suppressions.list_entries(SuppressionFilter(limit=SHOWN))
    return render(
        request,
        session,
        "suppressions.html",
        status,
        entries=found.suppressions,
        total=found.total,
        invalid=invalid,
        has_error=status != 200,
        sites=tuple(request.app.state.sites.by_name) or ("default",),
    )

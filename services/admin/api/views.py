"""Saved views of the list of leads: list, save, edit and delete them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.views import CountedView, NewView, SavedView, ViewEdit, ViewList, ViewQuery

router = APIRouter(prefix="/views", tags=["leads"])


@router.get("", summary="Your saved views and the team's")
async def list_views(
    query: Annotated[ViewQuery, Query()], adapters: CurrentAdapters, actor: Actor
) -> ViewList:
    """Return the admin's own views and those of the team, each with its number of leads."""
    views = await adapters.views.list_views(actor)
    counts = await adapters.views.count([view.conditions for view in views], query.zone_info(), actor)
    return ViewList(
        views=[CountedView(**dict(view), **dict(count)) for view, count in zip(views, counts, strict=True)]
    )


@router.post("", status_code=201, summary="Save a view", responses=documented(409))
async def add_view(view: NewView, adapters: CurrentAdapters, actor: Actor) -> SavedView:
    """Save filters and an order under a name, for the admin only or for the team. This is audited."""
    return await adapters.views.add(view, actor)


@router.patch("/{view_id}", summary="Rename or edit a view", responses=documented(403, 404, 409))
async def edit_view(view_id: UUID, edit: ViewEdit, adapters: CurrentAdapters, actor: Actor) -> SavedView:
    """Rename a view, or replace its filters and its order, or both. This is audited.

    Only the author may do this. The actor `admin` may also edit a view of the team.
    """
    return await adapters.views.edit(view_id, edit, actor)


@router.delete("/{view_id}", status_code=204, summary="Delete a view", responses=documented(403, 404))
async def delete_view(view_id: UUID, adapters: CurrentAdapters, actor: Actor) -> None:
    """Delete a view. This is audited.

    Only the author may do this. The actor `admin` may also delete a view of the team.
    """
    await adapters.views.delete(view_id, actor)

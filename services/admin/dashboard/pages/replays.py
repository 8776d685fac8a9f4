"""Replays: a preview that asks first, how far one is, and its end."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.fields import Maybe
from services.admin.dashboard.pages.failed_deliveries import Group
from services.admin.dashboard.rendering import PageRoute, go_to, render
from services.admin.rules.replay_rules import DEFAULT_PER_SECOND, MAX_PER_SECOND, ReplayOrder, ResultPage
from services.admin.schemas.replays import Result

router = APIRouter(prefix="/admin/ui/workbench", route_class=PageRoute)
PAGE_ROWS = 30


class Order(Group):
    """What the preview's form sends. `expected` is the number that it showed."""

    per_second: Annotated[int, Query(ge=1, le=MAX_PER_SECOND)] = DEFAULT_PER_SECOND
    comment: Maybe[str] = None
    expected: int | None = None

    def order(self) -> ReplayOrder:
        """Return what the workbench is asked for."""
        try:
            return ReplayOrder.model_validate(self.model_dump(exclude_none=True, exclude={"expected"}))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


@router.get("/replay")
async def preview(
    request: Request, visitor: Visit, given: Given, asked: Annotated[Order, Query()]
) -> Response:
    """Show what a replay would send and what it could not, before anything is sent."""
    seen = await given.workbench.preview(asked.order())
    return render(request, visitor, "preview.html", seen=seen, asked=asked, fastest=MAX_PER_SECOND)


@router.post("/replay")
async def begin(request: Request, visitor: Visit, given: Given, asked: Annotated[Order, Form()]) -> Response:
    """Begin the replay that was previewed."""
    begun = (await given.workbench.replay(asked.order(), asked.expected, visitor.actor)).replay
    return go_to(request, f"/admin/ui/workbench/replays/{begun.id}" if begun else "/admin/ui/workbench")


@router.get("/replays/{replay_id}")
async def show(
    request: Request,
    replay_id: UUID,
    visitor: Visit,
    given: Given,
    result: Annotated[Maybe[Result], Query()] = None,
    cursor: Annotated[Maybe[UUID], Query()] = None,
) -> Response:
    """Show how far a replay is, and what became of each row."""
    asked = ResultPage(limit=PAGE_ROWS, result=result, cursor=cursor)
    found = await given.workbench.get_replay(replay_id, asked)
    return render(request, visitor, "replay.html", found=found, replay=found.replay, asked=asked)


@router.post("/replays/{replay_id}/cancel")
async def cancel(request: Request, replay_id: UUID, visitor: Visit, given: Given) -> Response:
    """Send nothing more of it."""
    await given.workbench.cancel_replay(replay_id, visitor.actor)
    return go_to(request, f"/admin/ui/workbench/replays/{replay_id}")

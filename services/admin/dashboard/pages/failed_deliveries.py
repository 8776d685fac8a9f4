"""The workbench: what is stuck and why, in groups and rows; push it on, or set it aside."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.failures import Kind, Stage
from services.admin.dashboard.auth import Given, Visit
from services.admin.dashboard.fields import Maybe
from services.admin.dashboard.rendering import PageRoute, as_changed, go_to, in_part, render
from services.admin.rules.replay_rules import GroupFilter, HistoryPage
from services.admin.schemas.filters import QueueFilter, QueueState

router = APIRouter(prefix="/admin/ui/workbench", route_class=PageRoute)
PAGE_ROWS = 30
HISTORY_ROWS = 8


class Group(BaseModel):
    """The four names of a group, or some of them. They are words of ours: an address may hold them."""

    model_config = ConfigDict(frozen=True)

    stage: Maybe[Stage] = None
    kind: Maybe[Kind] = None
    state: Maybe[QueueState] = None
    reason: Maybe[str] = None

    def names(self) -> dict[str, str]:
        """Return what is given, for an address."""
        return self.model_dump(mode="json", exclude_none=True, include=set(Group.model_fields))


class Items(Group):
    """Rows of a group, and which page of them."""

    cursor: Maybe[str] = None


@router.get("")
async def show(request: Request, visitor: Visit, given: Given, asked: Annotated[Group, Query()]) -> Response:
    """Show what is stuck by what is wrong, and the last replays."""
    groups = await given.workbench.list_groups(GroupFilter(state=asked.state))
    history = await given.workbench.list_replays(HistoryPage(limit=HISTORY_ROWS))
    # Not from the groups: those of another state may be shown.
    waiting = await given.workbench.count_waiting()
    return render(
        request,
        visitor,
        "failed_deliveries.html",
        groups=groups,
        history=history,
        asked=asked,
        waiting=waiting,
        paused=await given.workbench.list_paused(),
    )


@router.get("/items")
async def show_items(
    request: Request, visitor: Visit, given: Given, asked: Annotated[Items, Query()]
) -> Response:
    """Show the rows of a group, the last failure first."""
    try:
        wanted = QueueFilter(limit=PAGE_ROWS, **asked.model_dump(exclude_none=True))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    page = await given.store.list_queue(wanted)
    return render(request, visitor, "queue_rows.html", page=page, asked=asked)


@router.post("/items/{queue_id}/replay")
async def replay_one(request: Request, queue_id: UUID, visitor: Visit, given: Given) -> Response:
    """Have one row sent again now."""
    done = await given.workbench.replay_one(queue_id, None, visitor.actor)
    return _done(request, visitor, done.message)


@router.post("/flush")
async def flush(request: Request, visitor: Visit, given: Given) -> Response:
    """Have everything that waits tried now."""
    done = await given.store.flush(visitor.actor)
    return _done(request, visitor, done.message)


@router.post("/clear")
async def clear(
    request: Request, visitor: Visit, given: Given, stage: Annotated[Maybe[Stage], Form()] = None
) -> Response:
    """Set everything that waits aside."""
    count = sum((await given.store.clear(stage, visitor.actor)).values())
    return _done(request, visitor, f"{count} rows are set aside. They can be replayed from 'Set aside'.")


def _done(request: Request, visitor: Visit, said: str) -> Response:
    if not in_part(request):
        return go_to(request, "/admin/ui/workbench")
    return as_changed(render(request, visitor, "_toast.html", said=said, tone="good"))

"""The pages that replay or archive many rows: the preview, the progress of a replay, and its cancellation."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.pages.failed_deliveries import FAILED_DELIVERIES, GroupQuery
from services.admin.dashboard.rendering import PageRoute, redirect, render
from services.admin.dashboard.replay_summary import summarise_replay
from services.admin.rules.replay_rules import replay_seconds
from services.admin.schemas.replay_filters import (
    DEFAULT_PER_SECOND,
    MAX_PER_SECOND,
    ArchiveOrder,
    ReplayOrder,
    ResultPage,
)
from services.admin.schemas.replays import Result

router = APIRouter(prefix=FAILED_DELIVERIES, route_class=PageRoute)
PAGE_ROWS = 30
# Far more rows than a queue has. The format of a number has a limit.
MAX_SHOWN_ROWS: Final = 10**12


class ReplayForm(GroupQuery):
    """The form of the preview page. `expected` is the number of rows that the preview showed."""

    per_second: Annotated[int, Query(ge=1, le=MAX_PER_SECOND)] = DEFAULT_PER_SECOND
    comment: BlankAsNone[str] = None
    expected: Annotated[int | None, Query(ge=0)] = None

    def to_order(self) -> ReplayOrder:
        """Return the order for the store. Raises `RequestValidationError` for an invalid field."""
        try:
            return ReplayOrder.model_validate(self.model_dump(exclude_none=True, exclude={"expected"}))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


@router.get("/replay")
async def show_preview(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ReplayForm, Query()]
) -> Response:
    """Show which rows a replay would send and which rows it cannot send. Sends nothing."""
    preview = await adapters.replays.preview(form.to_order())
    return render(
        request,
        session,
        "deliveries/preview.html",
        preview=preview,
        form=form,
        per_second=form.per_second,
        seconds=preview.seconds,
        max_per_second=MAX_PER_SECOND,
    )


class ArchiveForm(GroupQuery):
    """The form of the page that archives rows. `expected` is the number of rows that it showed."""

    comment: BlankAsNone[str] = None
    expected: Annotated[int | None, Query(ge=0)] = None

    def to_order(self) -> ArchiveOrder:
        """Return the order for the store. Raises `RequestValidationError` for an invalid field."""
        try:
            return ArchiveOrder.model_validate(self.model_dump(exclude_none=True, exclude={"expected"}))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


@router.get("/archive")
async def show_archive_preview(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    form: Annotated[ArchiveForm, Query()],
) -> Response:
    """Show which rows would be archived. Changes nothing."""
    preview = await adapters.queue.preview_archive(form.to_order())
    return render(request, session, "deliveries/archive.html", preview=preview, form=form)


@router.post("/archive")
async def archive_rows(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ArchiveForm, Form()]
) -> Response:
    """Archive the previewed rows, and show the archived ones."""
    await adapters.queue.archive(form.to_order(), form.expected, session.actor)
    return redirect(request, f"{FAILED_DELIVERIES}?state=archived")


@router.get("/replay/duration")
async def show_duration(
    request: Request,
    session: CurrentSession,
    per_second: Annotated[int, Query(ge=1, le=MAX_PER_SECOND)],
    wanted: Annotated[int, Query(ge=0, le=MAX_SHOWN_ROWS)],
) -> Response:
    """Show how long a replay of `wanted` rows takes if it sends `per_second` rows each second."""
    return render(
        request,
        session,
        "deliveries/duration.html",
        per_second=per_second,
        seconds=replay_seconds(wanted, per_second),
    )


@router.post("/replay")
async def start_replay(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, form: Annotated[ReplayForm, Form()]
) -> Response:
    """Start the previewed replay, and show its progress."""
    replay = (await adapters.replays.start(form.to_order(), form.expected, session.actor)).replay
    return redirect(request, f"{FAILED_DELIVERIES}/replays/{replay.id}" if replay else FAILED_DELIVERIES)


@router.get("/replays/{replay_id}")
async def show_replay(
    request: Request,
    replay_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    result: Annotated[BlankAsNone[Result], Query()] = None,
    cursor: Annotated[BlankAsNone[UUID], Query()] = None,
) -> Response:
    """Show the progress of a replay, and the result of each row."""
    page = ResultPage(limit=PAGE_ROWS, result=result, cursor=cursor)
    details = await adapters.replays.get_replay(replay_id, page)
    return render(
        request,
        session,
        "deliveries/replay.html",
        details=details,
        replay=details.replay,
        summary=summarise_replay(details.replay, details),
        page=page,
    )


@router.post("/replays/{replay_id}/cancel")
async def cancel_replay(
    request: Request, replay_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Cancel a replay. Rows that it has not sent stay unchanged."""
    await adapters.replays.cancel(replay_id, session.actor)
    return redirect(request, f"{FAILED_DELIVERIES}/replays/{replay_id}")

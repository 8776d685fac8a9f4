"""Bulk changes (one action on many leads): the order, its preview, its progress and its results."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.admin.schemas.failed_deliveries import DestinationName, FailedDeliveries
from services.admin.schemas.filters import CURSOR_FIELD, ExportFilter, Filter, Limit, SettableStatus, Text
from services.admin.schemas.replay_filters import DEFAULT_PER_SECOND, MAX_PER_SECOND
from services.admin.texts import gettext_noop

MAX_LEADS: Final = 100_000
MAX_IDS: Final = 1000
_MAX_POSITION: Final = 2**31 - 1  # of the column's type
BulkAction = Literal["status", "assign", "erase", "send", "retry"]
SENDING: Final = frozenset({"send", "retry"})
BulkResult = Literal["changed", "unchanged", "refused", "failed"]
BulkState = Literal["running", "finished", "cancelled"]


class BulkOrder(Filter):
    """A bulk change to preview or start: the action, and the leads to change.

    The leads are those in `ids`, or all that match `filter`. Two actions concern a `destination`. `send`
    sends leads to it. `retry` resends failed deliveries to it: those of the leads in `ids`, or those that
    match `deliveries`.
    """

    action: BulkAction
    new_status: Annotated[SettableStatus | None, Field(description="For `status`.")] = None
    assignee: Annotated[Text | None, Field(description="For `assign`; without it: nobody.")] = None
    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_IDS)] | None = None
    filter: ExportFilter | None = None
    destination: Annotated[DestinationName | None, Field(description="For `send` and `retry`.")] = None
    per_second: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_PER_SECOND,
            description=f"For `send` and `retry`: leads per second; {DEFAULT_PER_SECOND} by default.",
        ),
    ] = None
    deliveries: Annotated[FailedDeliveries | None, Field(description="For `retry`.")] = None

    @model_validator(mode="after")
    def _check(self) -> "BulkOrder":
        chosen = [name for name in ("ids", "filter", "deliveries") if getattr(self, name) is not None]
        of_action = ("ids", "deliveries") if self.action == "retry" else ("ids", "filter")
        if len(chosen) != 1 or chosen[0] not in of_action:
            msg = f"the body must have either {of_action[0]} or {of_action[1]}"
            raise ValueError(msg)
        if self.sends != (self.destination is not None) or (self.per_second and not self.sends):
            msg = "send and retry need a destination; other actions have neither destination nor per_second"
            raise ValueError(msg)
        if (self.action == "status") != (self.new_status is not None):
            msg = gettext_noop("new_status belongs to the action status, which needs it")
            raise ValueError(msg)
        if self.assignee is not None and self.action != "assign":
            msg = gettext_noop("assignee belongs to the action assign")
            raise ValueError(msg)
        return self

    @property
    def sends(self) -> bool:
        """Return True if the action sends leads to a destination."""
        return self.action in SENDING

    @property
    def rate(self) -> int | None:
        """Return the number of leads that are sent per second, or None if the action sends none."""
        return (self.per_second or DEFAULT_PER_SECOND) if self.sends else None

    @property
    def value(self) -> str | None:
        """Return the new status, the new assignee or the destination.

        Return None if the action erases or unassigns leads.
        """
        return self.new_status or self.assignee or self.destination

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters that choose the leads."""
        return {"ids": self.ids, **(self.filter or ExportFilter()).selection()}


class BulkMode(Filter):
    """Requests a preview (`dry_run`), or starts the bulk change."""

    dry_run: Annotated[bool, Field(description="Count the leads, but change none.")] = False
    expected: Annotated[
        int | None, Field(ge=0, description="Refuse with 409 if more leads match than the preview counted.")
    ] = None


class BulkChange(BaseModel):
    """A bulk change and its progress: `done` of `total` leads have a result."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    actor: str
    action: BulkAction
    value: str | None
    state: BulkState
    total: int
    done: int
    per_second: Annotated[int | None, Field(description="For `send` and `retry`.")]
    is_waiting: Annotated[
        bool, Field(description="Nothing is sent while the destination is disabled or paused.")
    ]
    retry_at: Annotated[
        datetime | None, Field(description="When the next leads are tried again, if the last try failed.")
    ]
    retry_reason: Annotated[str | None, Field(description="Why the last try failed.")]
    created_at: datetime
    updated_at: datetime


class RefusedGroup(BaseModel):
    """Leads that a bulk change cannot change, and why."""

    model_config = ConfigDict(frozen=True)

    status: str
    leads: int
    why: str


class BulkAnswer(BaseModel):
    """The preview of a bulk change, or the started bulk change."""

    model_config = ConfigDict(frozen=True)

    dry_run: bool
    leads: int
    changing: Annotated[int, Field(description="So many of them the action would change or send.")]
    unchanged: Annotated[
        int, Field(description="So many have the status or the assignee already, or are erased.")
    ]
    refused: list[RefusedGroup]
    emails: Annotated[int, Field(description="So many emails become due, at most.")]
    already_sent: Annotated[
        int,
        Field(description="For `send`: so many leads the destination has already, or they are being sent."),
    ]
    bulk: BulkChange | None
    message: str


ItemCursor = Annotated[int, Field(ge=0, le=_MAX_POSITION), CURSOR_FIELD]


class BulkPage(Filter):
    """Selects one page of a bulk change's leads.

    With `result`, only leads with this result are selected.
    """

    limit: Limit = 50
    result: BulkResult | None = None
    cursor: ItemCursor = 0


class BulkItem(BaseModel):
    """A lead of a bulk change: its current fields, and the result of the change.

    The result is null until the lead has been processed. `refused` means that the lead cannot be changed.
    `failed` means that an error occurred, also when the change was tried for this lead alone. Both have a
    reason.
    """

    model_config = ConfigDict(frozen=True)

    position: int
    lead_id: UUID
    result: BulkResult | None
    reason: str | None
    name: str | None
    email: str | None
    phone: str | None
    status: str | None


class BulkDetail(BaseModel):
    """A bulk change, the number of its leads by result, and a page of its leads."""

    model_config = ConfigDict(frozen=True)

    bulk: BulkChange
    results: dict[BulkResult, int]
    items: list[BulkItem]
    limit: int
    next_cursor: int | None


class BulkHistory(BaseModel):
    """A page of the bulk changes, newest first."""

    model_config = ConfigDict(frozen=True)

    bulks: list[BulkChange]
    limit: int
    next_cursor: str | None

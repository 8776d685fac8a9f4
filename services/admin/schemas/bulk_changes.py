"""Bulk changes (one action on many leads): the order, its preview, its progress and its results."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.admin.schemas.filters import CURSOR_FIELD, ExportFilter, Filter, Limit, SettableStatus, Text

MAX_LEADS: Final = 100_000
MAX_IDS: Final = 1000
BulkAction = Literal["status", "assign", "erase"]
BulkResult = Literal["changed", "unchanged", "refused"]
BulkState = Literal["running", "finished", "cancelled"]


class BulkOrder(Filter):
    """A bulk change to preview or start: the action, and the leads to change.

    The leads are those in `ids`, or all that match `filter`.
    """

    action: BulkAction
    new_status: Annotated[SettableStatus | None, Field(description="For `status`.")] = None
    assignee: Annotated[Text | None, Field(description="For `assign`; without it: nobody.")] = None
    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_IDS)] | None = None
    filter: ExportFilter | None = None

    @model_validator(mode="after")
    def _check(self) -> "BulkOrder":
        if (self.ids is None) == (self.filter is None):
            msg = "give either ids or filter"
            raise ValueError(msg)
        if (self.action == "status") != (self.new_status is not None):
            msg = "new_status belongs to the action status, which needs it"
            raise ValueError(msg)
        if self.assignee is not None and self.action != "assign":
            msg = "assignee belongs to the action assign"
            raise ValueError(msg)
        return self

    @property
    def value(self) -> str | None:
        """Return the new status or the new assignee. Return None if the action erases or unassigns leads."""
        return self.new_status or self.assignee

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
    refused: list[RefusedGroup]
    emails: Annotated[int, Field(description="So many emails become due, at most.")]
    bulk: BulkChange | None
    message: str


class BulkPage(Filter):
    """Selects one page of the leads of a bulk change, by default of leads with any result."""

    limit: Limit = 50
    result: BulkResult | None = None
    cursor: Annotated[int, Field(ge=0), CURSOR_FIELD] = 0


class BulkItem(BaseModel):
    """A lead of a bulk change: its current fields, and the result of the change.

    The result is null until the lead has been processed.
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

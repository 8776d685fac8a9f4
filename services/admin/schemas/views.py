"""Saved views of the list of leads. Each view has a name, filters and an order."""

from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.field_types import RequiredLine
from services.admin.schemas.export_query import check_zone
from services.admin.schemas.filters import Filter
from services.admin.schemas.lead_conditions import LeadConditions
from services.admin.texts import gettext_noop

NAME_MAX: Final = 60
ViewName = Annotated[RequiredLine, Field(max_length=NAME_MAX)]


class ViewConditions(LeadConditions):
    """The filters and the order of a view. Search words are refused, because they are personal data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if not self.conditions() and (self.sort or "received") == "received":
            msg = gettext_noop("a view needs a filter or an order")
            raise ValueError(msg)
        return self


class ViewEdit(BaseModel):
    """The new name of a view, its new filters and order, or both. Absent and null fields stay unchanged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ViewName | None = None
    conditions: Annotated[
        ViewConditions | None, Field(description="Replace all filters and the order of the view.")
    ] = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if self.name is None and self.conditions is None:
            msg = gettext_noop("name or conditions must be given")
            raise ValueError(msg)
        return self


class NewView(BaseModel):
    """A view to save."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ViewName
    shared: Annotated[bool, Field(description="For the whole team instead of only for you.")] = False
    conditions: ViewConditions


class SavedView(BaseModel):
    """A saved view of the admin or of the team."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: str
    author: str
    shared: bool
    conditions: LeadConditions
    created_at: datetime
    updated_at: datetime


class ViewCount(BaseModel):
    """The number of leads that a view shows. Counting stops at a limit."""

    model_config = ConfigDict(frozen=True)

    total: Annotated[int, Field(description="Counted up to 1,000.")] = 0
    total_is_capped: Annotated[bool, Field(description="More leads match than were counted.")] = False


class CountedView(SavedView, ViewCount):
    """A saved view, and the number of leads that it shows."""


class ViewList(BaseModel):
    """The admin's own views and the team's views, each sorted by name."""

    model_config = ConfigDict(frozen=True)

    views: list[CountedView]


class ViewQuery(Filter):
    """The time zone of the days in the views' filters."""

    zone: Annotated[
        str,
        AfterValidator(check_zone),
        Field(max_length=64, description="IANA name of the time zone in which the views' days are meant."),
    ] = "UTC"

    def zone_info(self) -> ZoneInfo:
        """Return the time zone."""
        return ZoneInfo(self.zone)

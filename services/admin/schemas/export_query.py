"""The query parameters of the exports. Unknown parameters are refused with 422, not ignored."""

from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from contracts.leads import LeadStatus
from services.admin.schemas.export_columns import COLUMNS
from services.admin.schemas.filters import ExportFilter
from services.admin.texts import gettext_noop

# Their ids fit into a URL of 8 KiB.
MAX_CHOSEN = 200


def check_zone(value: str) -> str:
    """Return the name of a time zone. Raises `ValueError` if there is no such zone."""
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = gettext_noop("must be the name of a time zone, such as Europe/Berlin")
        raise ValueError(msg) from None


def _check_column(value: str) -> str:
    if value not in COLUMNS:
        msg = gettext_noop("must be the name of a column")
        raise ValueError(msg)
    return value


ExportColumnName = Annotated[
    str, AfterValidator(_check_column), Field(json_schema_extra={"enum": list(COLUMNS)})
]


class ExportQuery(ExportFilter):
    """Selects the leads and the columns of an export, and the time zone of its local times.

    Spam and erased leads are selected only if `include_spam_and_erased` is set, or if `status_filter` or
    `ids` selects them.
    """

    ids: Annotated[
        list[UUID] | None,
        Field(max_length=MAX_CHOSEN, description="Only these leads, without regard to the other filters."),
    ] = None
    columns: Annotated[
        list[ExportColumnName] | None,
        Field(max_length=len(COLUMNS), description="The columns and their order. Default: all columns."),
    ] = None
    include_spam_and_erased: bool = False
    zone: Annotated[
        str,
        AfterValidator(check_zone),
        Field(max_length=64, description="IANA name of the time zone of local times, such as created_at."),
    ] = "UTC"

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter, including the statuses to leave out."""
        everything = self.include_spam_and_erased or self.status_filter
        left_out = None if everything else [LeadStatus.SPAM, LeadStatus.ERASED]
        return super().selection() | {"left_out": left_out}

    def filter_names(self) -> list[str]:
        """Return the names of the parameters that select the leads, sorted."""
        names = {"ids"} if self.ids else set(ExportFilter.model_fields)
        return sorted(self.model_dump(include=names, exclude_defaults=True))

    def column_names(self) -> list[str]:
        """Return the names of the columns in their order, without repetitions."""
        return list(dict.fromkeys(self.columns or COLUMNS))


class CsvQuery(ExportQuery):
    """Selects the leads and the columns of a CSV."""

    bom: Annotated[
        bool,
        Field(description="Begin with a byte order mark: Excel needs it, most programs do not expect it."),
    ] = True

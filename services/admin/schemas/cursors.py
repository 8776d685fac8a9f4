"""Page cursors. They are parsed and validated before they are used in a query."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from services.admin.texts import gettext_noop

Row = TypeVar("Row")


@dataclass(frozen=True)
class Position:
    """The sort key of a page's last row: its time, and its id, which orders rows with the same time."""

    at: datetime
    id: UUID | int

    def cursor(self) -> str:
        """Return the position as text that is safe in a URL."""
        return urlsafe_b64encode(f"{self.at.isoformat()} {self.id}".encode()).decode().rstrip("=")


def parse_cursor(cursor: str, parse_id: Callable[[str], UUID | int]) -> Position:
    """Return the position in a cursor. Raises `ValueError` if the cursor is not valid."""
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
        at, _, row_id = text.partition(" ")
        return Position(as_utc(datetime.fromisoformat(at)), parse_id(row_id))
    except ValueError:
        msg = gettext_noop("must be the next_cursor of the page before")
        raise ValueError(msg) from None


@dataclass(frozen=True)
class SortPosition:
    """The position of a lead in an order that is not by time of receipt.

    `key` is the lead's sort key. It is empty if the order is by name, so that a cursor contains no name.
    """

    at: datetime
    id: UUID
    key: str

    def cursor(self) -> str:
        """Return the position as text that is safe in a URL."""
        text = f"{self.at.isoformat()} {self.id} {self.key}"
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_sort_cursor(cursor: str) -> SortPosition:
    """Return the position in a cursor. Raises `ValueError` if the cursor is not valid."""
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
        at, row_id, key = text.split(" ", 2)
        if "\x00" in key:
            raise ValueError
        return SortPosition(as_utc(datetime.fromisoformat(at)), UUID(row_id), key)
    except ValueError:
        msg = gettext_noop("must be the next_cursor of the page before, in the same order")
        raise ValueError(msg) from None


def parse_bigint(text: str) -> int:
    """Return the row id in a text.

    Raises `ValueError` if the text is not an integer from 0 to the largest bigint.
    """
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError
    return number


def split_page(
    rows: list[Row], limit: int, position: Callable[[Row], Position]
) -> tuple[list[Row], str | None]:
    """Return the first `limit` rows, and the cursor of the next page. The cursor is None on the last page.

    `rows` has one row more than `limit` if there is a next page. `position` returns the position of a row.
    """
    page = rows[:limit]
    return page, position(page[-1]).cursor() if len(rows) > limit else None


def as_utc(time: datetime) -> datetime:
    """Return a time in UTC. Raises `ValueError` for an invalid year.

    A time without a zone is assumed to be in UTC.
    """
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as error:
        msg = gettext_noop("must be a time between the years 1 and 9999")
        raise ValueError(msg) from error

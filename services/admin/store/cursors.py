"""Cursors and search words: what a list is asked for, made safe to put to the database. No I/O."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

R = TypeVar("R")

# Letters, digits, and the combining marks of letters that are written as two characters.
_WORD: Final = re.compile(r"(?:[^\W_][\u0300-\u036f]*)+")
_MAX_WORDS: Final = 8


@dataclass(frozen=True)
class Place:
    """The last row of a page: its time, and the id that tells rows of the same time apart."""

    at: datetime
    id: UUID | int

    def cursor(self) -> str:
        """Write it as text that goes into a URL."""
        return urlsafe_b64encode(f"{self.at.isoformat()} {self.id}".encode()).decode().rstrip("=")


def place(cursor: str, id_of: Callable[[str], UUID | int]) -> Place:
    """Read a cursor back. Raises `ValueError` where it is none of ours."""
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
        at, _, row = text.partition(" ")
        return Place(as_utc(datetime.fromisoformat(at)), id_of(row))
    except ValueError:
        msg = "must be the next_cursor of the page before"
        raise ValueError(msg) from None


def row_number(text: str) -> int:
    """Read the id of a numbered row; PostgreSQL's bigint ends here."""
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError
    return number


def cut(rows: list[R], limit: int, place_of: Callable[[R], Place]) -> tuple[list[R], str | None]:
    """Return one page, and the cursor to the next where a row too many shows that there is one."""
    page = rows[:limit]
    return page, place_of(page[-1]).cursor() if len(rows) > limit else None


def as_utc(time: datetime) -> datetime:
    """Return a time as aware UTC; one without a zone is taken as UTC."""
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as error:
        msg = "must be a time between the years 1 and 9999"
        raise ValueError(msg) from error


def word_query(text: str) -> str:
    """Turn what was typed into a tsquery: every word must begin a word of the lead.

    Only letters and digits come through, so nothing in it can be an operator. Raises `ValueError`
    where there is no word.
    """
    words = _WORD.findall(text)[:_MAX_WORDS]
    if not words:
        msg = "must hold a letter or a digit to search for"
        raise ValueError(msg)
    return " & ".join(f"'{word}':*" for word in words)

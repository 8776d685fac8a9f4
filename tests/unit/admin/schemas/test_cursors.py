"""Cursors survive a round trip."""

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.schemas.cursors import (
    Position,
    SortPosition,
    as_utc,
    parse_bigint,
    parse_cursor,
    parse_sort_cursor,
    split_page,
)

times = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(at=times, row=st.uuids())
def test_a_cursor_is_parsed_to_its_position(at: datetime, row: UUID) -> None:
    cursor = Position(at, row).cursor()
    assert parse_cursor(cursor, UUID) == Position(at, row)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


@given(st.text())
def test_an_invalid_cursor_is_refused_without_quoting_it(text: str) -> None:
    for parse_id in (UUID, parse_bigint):
        with pytest.raises(ValueError, match=r"^must be the next_cursor of the page before$"):
            parse_cursor(text, parse_id)


def test_split_page_has_a_cursor_only_if_more_rows_follow() -> None:
    at = datetime(2024, 1, 3, tzinfo=UTC)
    assert split_page([1, 2], 2, lambda row: Position(at, row)) == ([1, 2], None)
    page, cursor = split_page([1, 2, 3], 2, lambda row: Position(at, row))
    assert page == [1, 2]
    assert cursor is not None
    assert parse_cursor(cursor, parse_bigint) == Position(at, 2)
    assert split_page([], 2, lambda row: Position(at, row)) == ([], None)


def test_as_utc_assumes_utc_and_refuses_times_out_of_range() -> None:
    assert as_utc(datetime(2024, 1, 3)) == datetime(2024, 1, 3, tzinfo=UTC)  # noqa: DTZ001 - the point
    east = timezone(timedelta(hours=14))
    assert as_utc(datetime(2024, 1, 3, 14, tzinfo=east)) == datetime(2024, 1, 3, tzinfo=UTC)
    with pytest.raises(ValueError, match="between the years"):
        as_utc(datetime(1, 1, 1, tzinfo=east))


def test_a_sort_position_survives_its_cursor() -> None:
    position = SortPosition(datetime(2026, 1, 5, 10, tzinfo=UTC), UUID(int=7), "0ann of the office")
    assert parse_sort_cursor(position.cursor()) == position


@pytest.mark.parametrize("cursor", ["", "a.b", "YQ", Position(datetime(2026, 1, 5, tzinfo=UTC), 3).cursor()])
def test_other_cursors_are_no_sort_positions(cursor: str) -> None:
    with pytest.raises(ValueError, match="next_cursor"):
        parse_sort_cursor(cursor)

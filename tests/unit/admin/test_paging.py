"""Cursors come back as they went out, and nothing that is typed becomes an operator."""

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.store.cursors import Place, as_utc, cut, place, row_number, word_query

times = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(at=times, row=st.uuids())
def test_a_cursor_names_its_row_again(at: datetime, row: UUID) -> None:
    cursor = Place(at, row).cursor()
    assert place(cursor, UUID) == Place(at, row)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


@given(st.text())
def test_any_other_text_is_refused_without_repeating_it(text: str) -> None:
    for id_of in (UUID, row_number):
        with pytest.raises(ValueError, match=r"^must be the next_cursor of the page before$"):
            place(text, id_of)


def test_only_a_row_too_many_makes_a_next_page() -> None:
    at = datetime(2024, 1, 3, tzinfo=UTC)
    assert cut([1, 2], 2, lambda row: Place(at, row)) == ([1, 2], None)
    page, cursor = cut([1, 2, 3], 2, lambda row: Place(at, row))
    assert page == [1, 2]
    assert cursor is not None
    assert place(cursor, row_number) == Place(at, 2)
    assert cut([], 2, lambda row: Place(at, row)) == ([], None)


@given(st.text())
def test_a_query_holds_words_and_nothing_else(text: str) -> None:
    try:
        query = word_query(text)
    except ValueError:
        assert not any(character.isalnum() for character in text)
    else:
        assert re.fullmatch(r"'[\w\u0300-\u036f]+':\*( & '[\w\u0300-\u036f]+':\*){0,7}", query)


def test_a_time_without_a_zone_is_utc_and_one_beyond_the_calendar_is_refused() -> None:
    assert as_utc(datetime(2024, 1, 3)) == datetime(2024, 1, 3, tzinfo=UTC)  # noqa: DTZ001 - the point
    east = timezone(timedelta(hours=14))
    assert as_utc(datetime(2024, 1, 3, 14, tzinfo=east)) == datetime(2024, 1, 3, tzinfo=UTC)
    with pytest.raises(ValueError, match="between the years"):
        as_utc(datetime(1, 1, 1, tzinfo=east))

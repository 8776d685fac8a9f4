"""The columns of the list of leads, and the cookie of a choice."""

import pytest

from services.admin.dashboard.list_columns import (
    COLUMNS,
    USUAL_COLUMNS,
    ColumnName,
    columns_cookie,
    read_columns,
)


@pytest.mark.parametrize("chosen", [(), ("status",), ("company", "site", "updated"), tuple(COLUMNS)])
def test_a_choice_is_read_from_its_cookie(chosen: tuple[ColumnName, ...]) -> None:
    assert read_columns(columns_cookie(chosen)) == chosen


def test_columns_have_one_order() -> None:
    assert read_columns(columns_cookie(("updated", "company"))) == ("company", "updated")


@pytest.mark.parametrize("cookie", [None, "", "nonsense", "status.lead", "\x00"])
def test_without_a_valid_cookie_the_columns_are_the_usual_ones(cookie: str | None) -> None:
    assert read_columns(cookie) == USUAL_COLUMNS


def test_an_unknown_column_in_the_cookie_is_ignored() -> None:
    assert read_columns("lead.status.<script>.removed") == ("status",)

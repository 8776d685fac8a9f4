"""The pages of a list: the parameter `cursor` has the cursors of the pages before it."""

from services.admin.dashboard.paging import MAX_CURSORS, Pager, build_pager, last_cursor, page_url


def test_pages_lead_both_ways() -> None:
    first = build_pager(None, "a")
    assert first == Pager(newest=None, newer=None, older="a")
    second = build_pager(first.older, "b")
    assert second == Pager(newest=None, newer="", older="a.b")
    last = build_pager(second.older, None)
    assert last == Pager(newest="", newer="a", older=None)
    assert [last_cursor(cursors) for cursors in (None, "", "a", "a.b")] == [None, None, "a", "b"]


def test_the_number_of_cursors_is_bounded() -> None:
    cursors: str | None = None
    for number in range(50):
        cursors = build_pager(cursors, str(number)).older
    assert cursors is not None
    assert cursors.split(".") == [str(number) for number in range(50 - MAX_CURSORS, 50)]


def test_page_url_encodes_the_parameters_that_are_set() -> None:
    assert page_url("/list", {"a": "x & y", "b": None, "c": ""}) == "/list?a=x+%26+y"
    assert page_url("/list", {"a": None}, "") == "/list"
    assert page_url("/list", {}, "c.d") == "/list?cursor=c.d"

"""The search on the page of leads: its URL, its chips, and the order of its columns."""

from zoneinfo import ZoneInfo

from services.admin.dashboard.lead_search import COLUMN_ORDERS, LeadSearch, chips, column_orders
from services.admin.schemas.lead_conditions import NOBODY

ZONE = ZoneInfo("Europe/Berlin")


def search(**fields: object) -> LeadSearch:
    return LeadSearch.model_validate(fields)


def test_the_url_has_each_status_and_the_name_of_a_period_but_no_words() -> None:
    found = search(status=["received", "contacted"], received="yesterday", q="Ada", service="", site=" ")
    assert found.url(ZONE) == (
        "/admin/ui/leads?status=received&status=contacted&received=yesterday&zone=Europe%2FBerlin"
    )
    assert found.url(ZONE, status=(), received=None) == "/admin/ui/leads"
    assert found.hidden_fields() == [
        ("status", "received"),
        ("status", "contacted"),
        ("received", "yesterday"),
        ("q", "Ada"),
    ]


def test_the_empty_fields_of_a_form_are_no_filters() -> None:
    empty = search(
        status=["", ""], service="", assignee=" ", waiting="", received="", since="", q="", rows=""
    )
    assert empty == LeadSearch()
    assert search(status=["won", "won", ""]).url(ZONE) == "/admin/ui/leads?status=won"


def test_each_chip_removes_one_value() -> None:
    found = search(status=["received", "won"], assignee="unassigned", waiting=24, received="this_week")
    shown = dict(chips(found, str))
    assert list(shown) == [
        "Status: New",
        "Status: Won",
        "Assignee: Unassigned",
        "Unanswered: over 1 day",
        "Received: This week",
    ]
    assert found.model_copy(update=shown["Status: New"]).conditions()["status"] == ["won"]
    assert "assignee" not in found.model_copy(update=shown["Assignee: Unassigned"]).conditions()
    assert found.conditions()["assignee"] == NOBODY


def test_a_click_on_a_heading_sorts_and_then_reverses() -> None:
    orders = column_orders("received")
    assert orders["received"] == ("descending", "oldest")
    assert orders["lead"] == ("none", "name")
    assert orders["updated"] == ("none", "updated")
    assert column_orders("name")["lead"] == ("ascending", "name_desc")
    assert column_orders("name_desc")["lead"] == ("descending", "name")


def test_only_the_sorted_column_says_so() -> None:
    for ascending, descending, _ in COLUMN_ORDERS.values():
        for order in (ascending, descending):
            assert [state for state, _ in column_orders(order).values()].count("none") == len(
                COLUMN_ORDERS
            ) - 1

"""The search on the page of leads: the order of its columns."""

from services.admin.dashboard.lead_search import COLUMN_ORDERS, column_orders


def test_a_click_on_a_heading_sorts_and_then_reverses() -> None:
    orders = column_orders("received")
    assert orders["Received"] == ("descending", "oldest")
    assert orders["Lead"] == ("none", "name")
    assert orders["Last change"] == ("none", "updated")
    assert column_orders("name")["Lead"] == ("ascending", "name_desc")
    assert column_orders("name_desc")["Lead"] == ("descending", "name")


def test_only_the_sorted_column_says_so() -> None:
    for ascending, descending, _ in COLUMN_ORDERS.values():
        for order in (ascending, descending):
            assert [state for state, _ in column_orders(order).values()].count("none") == len(
                COLUMN_ORDERS
            ) - 1

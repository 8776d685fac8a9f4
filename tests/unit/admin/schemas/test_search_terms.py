"""How a search becomes the terms of a query."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.schemas.search_terms import MAX_TERMS, NO_SEARCH, search_parameters


def terms(search: str) -> list[list[str]]:
    parameters = search_parameters(search)
    return [found for number in range(1, MAX_TERMS + 1) if (found := parameters[f"term_{number}"])]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("lovelace", [["lovelace"]]),
        ("  Ada\tLovelace", [["Lovelace"], ["Ada"]]),
        ("(", [["("]]),
        ("030 123-4", [["030 123-4", "0301234", "301234"]]),
        ("+49 (0)30 98765", [["+49 (0)30 98765", "493098765", "3098765"]]),
        ("00493098765", [["00493098765", "493098765", "3098765"]]),
        ("+1 555 0100", [["+1 555 0100", "15550100", "5550100"]]),
        ("+351 912 345", [["+351 912 345", "351912345", "912345"]]),
        ("10115 12", [["10115"], ["12"]]),
        ("1-212-555-0100", [["1-212-555-0100", "12125550100", "2125550100"]]),
        ("Anna 0151 2345", [["0151 2345", "01512345", "1512345"], ["Anna"]]),
        ("Anna Meyer - 030 12 34 56", [["- 030 12 34 56", "030123456", "30123456"], ["Meyer"], ["Anna"]]),
        ("+49 30 12345 Anna", [["+49 30 12345", "493012345", "3012345"], ["Anna"]]),
        ("912 34 56 78", [["912 34 56 78", "912345678"]]),
        ("12 34 56 78", [["12 34 56 78", "12345678"]]),
        ("30 123 4567", [["30 123 4567", "301234567"]]),
        ("2024 20259", [["20259"], ["2024"]]),
        ("3 1234 567", [["1234"], ["567"], ["3"]]),
        ("+49 1 +49 2", [["+49"], ["+49"], ["1"], ["2"]]),
        ("1234567890 1234567890", [["1234567890"], ["1234567890"]]),
        ("8 (912) 345-67-89", [["8 (912) 345-67-89", "89123456789", "23456789", "9123456789"]]),
        ("8 029 123-45-67", [["8 029 123-45-67", "80291234567", "91234567", "291234567"]]),
        ("+81 3 1234 5678", [["+81 3 1234 5678", "81312345678", "312345678"]]),
        ("011 49 30 1234567", [["011 49 30 1234567", "49301234567", "301234567"]]),
        ("810 49 30 1234567", [["810 49 30 1234567", "49301234567", "301234567"]]),
        ("0011 49 30 1234567", [["0011 49 30 1234567", "49301234567", "301234567"]]),
        ("0114 496 0000", [["0114 496 0000", "01144960000", "1144960000"]]),
        ("Meyer & Sohn", [["Meyer"], ["Sohn"]]),
        ("call 555-1234", [["555-1234", "5551234"], ["call"]]),
        ('"Ada"', [['"Ada"', "Ada"]]),
        ('0"1', [['0"1']]),
        ("mueller", [["mueller", "muller"]]),
        ("Luedenscheid", [["Luedenscheid", "Ludenscheid"]]),
        ("neue queue Joe", [["queue"], ["neue"], ["Joe"]]),
        ("a b c d e f ghi", [["ghi"], ["a"], ["b"], ["c"], ["d"], ["e"]]),
    ],
)
def test_a_search_becomes_terms(search: str, expected: list[list[str]]) -> None:
    assert terms(search) == expected


def test_a_search_for_an_id_has_its_range_and_its_end() -> None:
    parameters = search_parameters("0191F3C2-77")
    assert parameters["first_id"] == UUID("0191f3c2-7700-0000-0000-000000000000")
    assert parameters["last_id"] == UUID("0191f3c2-77ff-ffff-ffff-ffffffffffff")
    assert search_parameters("9d1C0ffe")["reference"] == "9d1c0ffe"


def test_one_word_with_a_digit_may_be_the_id_of_a_request() -> None:
    assert search_parameters(" Key-2026/1 ")["request_id"] == "Key-2026/1"
    assert [search_parameters(search)["request_id"] for search in ("ada", "Ada 1")] == [None, None]


@pytest.mark.parametrize("search", ["abc1234", "0191f3c2 77", "0191f3c2-77xy", "f" * 33])
def test_other_searches_look_up_no_id(search: str) -> None:
    assert search_parameters(search)["reference"] is None


@given(st.text(max_size=255))
def test_parameters_are_complete_and_bounded(search: str) -> None:
    assert search_parameters(search).keys() == NO_SEARCH.keys()
    assert sum(len(text) for term in terms(search) for text in term) <= 4 * 255

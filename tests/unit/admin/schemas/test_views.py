"""Saved views: what they keep, and which names they may have."""

import pytest
from pydantic import ValidationError

from services.admin.schemas.views import NewView

FILTERS = {"status": ["received"]}


def test_a_view_keeps_the_filters_and_the_order() -> None:
    new = NewView.model_validate({"name": " Mine\nnow ", "conditions": {"assignee": "me", "sort": "name"}})
    assert new.name == "Mine now"
    assert new.conditions.model_dump(exclude_defaults=True) == {"assignee": "@me", "sort": "name"}
    assert not new.shared


@pytest.mark.parametrize(
    ("name", "conditions"),
    [
        ("", FILTERS),
        (" \u200b ", FILTERS),
        ("x" * 61, FILTERS),
        ("no filter", {}),
        ("the usual order", {"sort": "received"}),
        ("words", {"q": "ada@example.com", **FILTERS}),
    ],
)
def test_empty_views_long_names_and_search_words_are_refused(
    name: str, conditions: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        NewView.model_validate({"name": name, "conditions": conditions})

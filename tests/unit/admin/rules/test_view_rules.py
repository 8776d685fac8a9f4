"""Who may change a saved view, and how many there may be."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.admin.rules.errors import ConflictError, ForbiddenError
from services.admin.rules.view_rules import VIEWS_MAX, check_change, check_new, may_change
from services.admin.schemas.lead_conditions import LeadConditions
from services.admin.schemas.views import SavedView

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def view(name: str, *, shared: bool = False) -> SavedView:
    conditions = LeadConditions(sort="name")
    return SavedView(
        id=uuid4(),
        name=name,
        author="ann",
        shared=shared,
        conditions=conditions,
        created_at=NOW,
        updated_at=NOW,
    )


def test_the_author_and_the_admin_change_a_view() -> None:
    assert may_change(view("x", shared=True), "ann")
    assert may_change(view("x", shared=True), "admin")
    assert not may_change(view("x", shared=True), "bob")
    with pytest.raises(ForbiddenError, match="Only ann or admin"):
        check_change(view("x", shared=True), "bob")


def test_a_name_is_used_once_for_a_person_and_once_for_the_team() -> None:
    views = [view("Won"), view("Spam", shared=True)]
    check_new(views, "Spam", shared=False)
    check_new(views, "Won", shared=True)
    with pytest.raises(ConflictError, match="You have a view with this name"):
        check_new(views, "wON", shared=False)
    with pytest.raises(ConflictError, match="The team has a view with this name"):
        check_new(views, "spam", shared=True)


def test_the_number_of_views_is_limited_for_a_person_and_for_the_team() -> None:
    views = [view(str(number)) for number in range(VIEWS_MAX)]
    with pytest.raises(ConflictError, match="You have 20 views"):
        check_new(views, "one more", shared=False)
    check_new(views, "one more", shared=True)

"""When a site's share of spam counts as risen."""

import pytest

from services.admin.rules.spam_shares import SpamShare


@pytest.mark.parametrize(
    ("leads", "spam", "leads_before", "spam_before", "has_risen"),
    [
        (40, 38, 300, 6, True),
        (10, 6, 0, 0, True),  # a new site
        (9, 9, 300, 6, False),  # too few leads
        (40, 20, 300, 6, False),  # half of them
        (40, 30, 300, 150, False),  # it was so before
        (40, 40, 300, 150, True),
        (40, 38, 9, 9, True),  # too few leads to compare with
    ],
)
def test_share_of_spam_has_risen(
    leads: int, spam: int, leads_before: int, spam_before: int, *, has_risen: bool
) -> None:
    assert SpamShare("studio", leads, spam, leads_before, spam_before, None).has_risen is has_risen

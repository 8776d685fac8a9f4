"""The links to the views on the page of leads."""

from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from services.admin.dashboard.view_links import BUILT_IN, build_links, count_text, view_url
from services.admin.schemas.lead_conditions import LeadConditions
from services.admin.schemas.views import SavedView, ViewCount

ZONE = ZoneInfo("Europe/Berlin")


def test_built_in_views_come_first_and_a_new_view_has_no_count_yet() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    saved = SavedView(
        id=uuid4(),
        name="Berlin",
        author="ann",
        shared=True,
        conditions=LeadConditions(site="berlin", received="yesterday", sort="name"),
        created_at=now,
        updated_at=now,
    )
    counts = {view_url(BUILT_IN["Unanswered"], ZONE): ViewCount(total=12)}
    links = build_links([saved], counts, ZONE)
    assert [link.name for link in links] == ["All leads", *BUILT_IN, "Berlin"]
    assert (links[1].url, links[1].count) == ("/admin/ui/leads?status=received", "12")
    assert links[-1].url == ("/admin/ui/leads?site=berlin&received=yesterday&sort=name&zone=Europe%2FBerlin")
    assert (links[-1].count, links[-1].is_team) == ("", True)


def test_a_count_beyond_the_bound_says_so() -> None:
    assert count_text(ViewCount(total=1000, total_is_capped=True)) == "1,000+"
    assert count_text(ViewCount()) == "0"

"""Durations, times, schedules, details and campaigns are formatted for people."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.admin.dashboard import formatting
from services.admin.texts import NO_VALUE


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, NO_VALUE), (0.0421, "42 ms"), (1.0, "1 s"), (9.96, "10 s"), (59, "59 s"),
     (60, "1 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_duration_uses_the_two_largest_units(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_time_tag_is_in_utc_for_the_browser_to_convert() -> None:
    at = datetime(2026, 11, 23, 10, 30, 45, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    tag = '<time datetime="2026-11-23T05:00:45.000+00:00">2026-11-23 05:00 UTC</time>'
    assert formatting.time_tag(at) == tag
    assert "Never" in formatting.time_tag(None)
    assert formatting.time_tag(at.astimezone(UTC)) == formatting.time_tag(at)


def test_detail_pairs_omit_empty_values_and_join_lists() -> None:
    details = {"retry_after": 0, "fields": ["name", "email"], "reason": "", "more": None, "final": False}
    assert formatting.detail_pairs(details) == [
        ("Retry after", "0"),
        ("Fields", "name, email"),
        ("Final", "no"),
    ]


def test_detail_pairs_show_ids_last() -> None:
    details = {"bulk_id": "9c8c69f7", "destination": "crm"}
    assert formatting.detail_pairs(details) == [("Destination", "crm"), ("Bulk ID", "9c8c69f7")]


def test_detail_pairs_name_kinds_and_states() -> None:
    # PostgreSQL orders the keys of a jsonb object by their length.
    details = {"to": "won", "from": "received", "kind": "welcome"}
    assert [text for _, text in formatting.detail_pairs(details)] == ["New", "Confirmation email", "Won"]


def test_simple_schedules_are_words_and_others_stay_cron() -> None:
    assert formatting.schedule_name("*/5 * * * *") == "Every 5 minutes"
    assert formatting.schedule_name("* * * * *") == "Every minute"
    assert formatting.schedule_name("7 3 * * *") == "Every day at 03:07 UTC"
    assert formatting.schedule_name("7 3 * * 1") == "7 3 * * 1"


def test_a_campaign_is_listed_from_source_to_content() -> None:
    source = {"gclid": "x", "utm_term": "t", "utm_source": "s", "utm_medium": "m"}
    assert [name for name, _ in formatting.source_items(source)] == [
        "utm_source",
        "utm_medium",
        "utm_term",
        "gclid",
    ]
    assert formatting.source_items(None) == []


def test_the_campaign_of_the_first_visit_is_listed_last() -> None:
    source = {"first_utm_campaign": "a", "first_gclid": "g", "first_utm_source": "b", "first_utm_id": "c"}
    source |= {"landing_page": "d", "utm_campaign": "e"}
    assert [formatting.source_label(name) for name, _ in formatting.source_items(source)] == [
        "UTM campaign",
        "Landing page",
        "First visit: source",
        "First visit: campaign",
        "First visit: ID",
        "First visit: gclid",
    ]


def test_an_address_breaks_before_its_domain_and_is_escaped() -> None:
    assert formatting.address_text("a<b@example.com") == "a&lt;b<wbr>@example.com"


def test_a_relative_time_says_so_and_is_exact_without_scripts() -> None:
    at = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
    assert "data-relative" not in formatting.time_tag(at)
    assert formatting.ago_tag(at) == str(formatting.time_tag(at)).replace('">', '" data-relative>')
    assert "2026-05-06 07:08 UTC" in formatting.ago_tag(at)
    assert formatting.ago_tag(None) == formatting.time_tag(None)

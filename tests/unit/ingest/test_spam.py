"""The spam checks: what is spam, and what is not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.leads import LeadSubmission
from contracts.reasons import SpamReason
from services.ingest import spam
from services.ingest.spam import SpamRules, check_content, visitor_network

NOW = datetime(2024, 1, 3, 10, 30, tzinfo=UTC)
RULES = SpamRules(min_fill_seconds=2, max_links=2)


def reasons_of(meta: dict[str, Any] | None = None, **changes: Any) -> list[SpamReason]:
    fields = {"name": "Ada", "email": "ada@example.com", "service": "Web", "message": "Hello", "meta": meta}
    return check_content(LeadSubmission.model_validate(fields | changes), RULES, NOW)


def test_ordinary_lead_is_not_spam() -> None:
    shown = (NOW - timedelta(seconds=30)).isoformat()
    assert reasons_of({"honeypot": "", "form_rendered_at": shown}, message="See https://example.com") == []
    assert reasons_of(None) == []


@given(
    text=st.lists(
        st.sampled_from(["http", "HTTPS", "http\u017f", ":", "/", "www", "WwW", ".", "a", " "])
    ).map("".join)
)
def test_the_fast_look_overlooks_no_link(text: str) -> None:
    reasons = reasons_of(name="Ada " + text, message="x " + text * 3)
    assert (SpamReason.LINK_IN_NAME in reasons) == bool(spam._LINK.search(text))
    assert (SpamReason.TOO_MANY_LINKS in reasons) == (len(spam._LINK.findall(text * 3)) > RULES.max_links)


@pytest.mark.parametrize("markup", ["[url", "[URL=", "<a href", "<A\nHREF"])
def test_markup_of_links_is_found_in_any_case(markup: str) -> None:
    assert reasons_of(message="See " + markup) == [SpamReason.LINK_MARKUP]


@pytest.mark.parametrize("filled", ["x", 1, True, ["a"], {"a": 1}])
def test_any_value_in_the_honeypot_is_spam(filled: Any) -> None:
    assert reasons_of({"honeypot": filled}) == [SpamReason.HONEYPOT]


@pytest.mark.parametrize(
    "empty", [None, "", "  ", 0, False, [], {}, "O", "0", "false", "off", [""], [None, "0"], {"a": ""}]
)
def test_empty_honeypot_is_not_spam(empty: Any) -> None:
    assert reasons_of({"honeypot": empty}) == []


@pytest.mark.parametrize(
    ("seconds_ago", "reasons"),
    [
        (2, []),
        (1.9, [SpamReason.FILLED_TOO_FAST]),
        (0, [SpamReason.FILLED_TOO_FAST]),
        (-300, [SpamReason.FILLED_TOO_FAST]),
        (-301, [SpamReason.FORM_TIME_IMPLAUSIBLE]),
        (30 * 24 * 3600, []),
    ],
)
def test_form_time_check_allows_for_clock_skew(seconds_ago: float, reasons: list[SpamReason]) -> None:
    shown = NOW - timedelta(seconds=seconds_ago)
    assert reasons_of({"form_rendered_at": shown.isoformat()}) == reasons
    assert reasons_of({"form_rendered_at": int(shown.timestamp() * 1000)}) == reasons


@pytest.mark.parametrize(
    ("measured", "reasons"),
    [
        (60, []),
        (2.0, []),
        (1.9, [SpamReason.FILLED_TOO_FAST]),
        (-1, [SpamReason.FILLED_TOO_FAST]),
        ("60", [SpamReason.FILLED_TOO_FAST]),  # no measure: the form's time is judged
        (True, [SpamReason.FILLED_TOO_FAST]),
        (None, [SpamReason.FILLED_TOO_FAST]),
    ],
)
def test_fill_seconds_take_precedence_over_the_form_time(measured: Any, reasons: list[SpamReason]) -> None:
    assert reasons_of({"form_rendered_at": NOW.isoformat(), "fill_seconds": measured}) == reasons


@pytest.mark.parametrize("garbage", ["soon", "\x00", [], {}, 1e300, "9" * 400, "0000-00-00 00:00:00"])
def test_unreadable_form_time_is_not_spam(garbage: Any) -> None:
    assert reasons_of({"form_rendered_at": garbage}) == []


@pytest.mark.parametrize("said", [None, "", "2024-01-03T10:29:00", "2024-01-03T18:29:00"])
def test_missing_or_naive_form_time_is_not_spam(said: str | None) -> None:
    assert reasons_of({"form_rendered_at": said}) == []


def test_links_in_message_and_name_are_spam() -> None:
    assert reasons_of(message="http://a http://b") == []
    assert reasons_of(message="http://a https://b www.c") == [SpamReason.TOO_MANY_LINKS]
    assert reasons_of(message="https://www.a https://www.b") == []
    assert reasons_of(message="https://web.example/https://a.example https://b?u=https://c") == []
    assert reasons_of(message="http://a,http://b;http://c") == [SpamReason.TOO_MANY_LINKS]
    assert reasons_of(message="[URL=http://a]b[/URL]") == [SpamReason.LINK_MARKUP]
    assert reasons_of(message="<A HREF='http://a'>b</A>") == [SpamReason.LINK_MARKUP]
    assert reasons_of(name="Win at www.example.com") == [SpamReason.LINK_IN_NAME]


@pytest.mark.parametrize(
    ("ip", "counted_by"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2.1, 198.51.100.1", None),
        ("unknown", None),
        ("", None),
        (None, None),
        (7, None),
        ({"a": 1}, None),
    ],
)
def test_visitor_network_is_what_one_host_owns(ip: Any, counted_by: str | None) -> None:
    assert visitor_network(ip) == counted_by


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(honeypot=JSON, form_rendered_at=JSON | st.datetimes(timezones=st.timezones()).map(str), ip=JSON)
def test_spam_checks_never_raise(honeypot: Any, form_rendered_at: Any, ip: Any) -> None:
    reasons_of({"honeypot": honeypot, "form_rendered_at": form_rendered_at, "ip": ip})
    visitor_network(ip)

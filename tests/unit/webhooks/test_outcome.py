"""What a response means for a delivery."""

from datetime import UTC, datetime, timedelta

import pytest

from services.webhooks.outcome import RESPONSE_STORED_CHARACTERS, Result, outcome_of, parse_retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.DELIVERED), (204, Result.DELIVERED), (299, Result.DELIVERED),
        (199, Result.FAILED), (301, Result.FAILED), (307, Result.FAILED), (400, Result.FAILED),
        (401, Result.FAILED), (404, Result.FAILED), (500, Result.FAILED), (503, Result.FAILED),
        (410, Result.GONE), (429, Result.RATE_LIMITED),
    ],
)  # fmt: skip
def test_a_status_decides_what_happens_next(status: int, result: Result) -> None:
    outcome = outcome_of(status, None, "", NOW)
    assert (outcome.result, outcome.status_code) == (result, status)
    assert outcome.reason == (None if result == Result.DELIVERED else f"destination answered {status}")


@pytest.mark.parametrize(
    ("status", "wait"), [(429, 7), (503, 7), (200, None), (301, None), (500, None), (410, None)]
)
def test_retry_after_counts_with_429_and_503_only(status: int, wait: int | None) -> None:
    expected = None if wait is None else timedelta(seconds=wait)
    assert outcome_of(status, "7", "", NOW).retry_after == expected


def test_the_start_of_a_response_is_stored_without_nul() -> None:
    outcome = outcome_of(500, None, "a\x00b" + "c" * 5000, NOW)
    assert outcome.response == "ab" + "c" * (RESPONSE_STORED_CHARACTERS - 2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 1), ("1", 1), (" 90 ", 90), ("86400", 86400), ("86401", 86400), ("9" * 5000, 86400),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120), ("Sun, 01 Mar 2026 13:02:00 +0100", 120),
        ("Sun, 01 Mar 2026 12:02:00 -0000", 120), ("Sun, 01 Mar 2026 11:00:00 GMT", 1),
        ("Sun, 01 Mar 2099 12:00:00 GMT", 86400),
    ],
)  # fmt: skip
def test_a_wait_is_seconds_or_a_date_within_a_day(text: str, seconds: int) -> None:
    assert parse_retry_after(text, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        None, "", " ", "-1", "3.5", "soon", "٣", "²", "1e3", "Sun, 99 Mar 2026 12:00:00 GMT", "a,b,c,d,e",
        "Mon, 01 Jan 99999999999999 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +9999999999999999",
        "Mon, 01 Jan 2026 9999999999999999999999:00:00 GMT",
    ],
)  # fmt: skip
def test_regression_a_wait_that_cannot_be_read_is_none(text: str | None) -> None:
    assert parse_retry_after(text, NOW) is None


def test_a_success_needs_the_expected_text() -> None:
    assert outcome_of(200, None, '{"status":"success"}', NOW, '"status":"success"').result == Result.DELIVERED
    refused = outcome_of(202, None, '{"status":"error"}', NOW, '"status":"success"')
    assert (refused.result, refused.status_code) == (Result.FAILED, 202)
    assert refused.reason == "destination answered 202 without the text of expect"
    assert refused.response == '{"status":"error"}'
    late = "x" * RESPONSE_STORED_CHARACTERS + "stored"
    assert outcome_of(200, None, late, NOW, "stored").result == Result.DELIVERED
    assert outcome_of(410, None, "stored", NOW, "stored").result == Result.GONE
    assert outcome_of(500, None, "stored", NOW, "stored").reason == "destination answered 500"

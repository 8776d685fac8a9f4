"""What the status prints: no address, and no reason that somebody else wrote."""

from datetime import UTC, datetime, timedelta

import pytest

from deploy.cli.doctor.status.texts import duration, moment, queue_reason, since_text, without_addresses


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("550 5.1.1 <bob@example.com>: no such user", "550 5.1.1 <(address)>: no such user"),
        ("smtp 550 at rcpt", "smtp 550 at rcpt"),
        ("Ünï@bücher.example, and o'brien@x.example", "(address), and o'(address)"),
    ],
)
def test_an_address_in_a_reply_is_not_printed(text: str, shown: str) -> None:
    assert without_addresses(text) == shown


@pytest.mark.parametrize("reason", ["undecodable", "smtp 550 5.1.1 at rcpt", "database answered 42501"])
def test_a_known_reason_of_a_failed_record_is_printed(reason: str) -> None:
    assert queue_reason(reason) == reason


def test_a_forged_reason_is_not_printed() -> None:
    assert "Bob" not in queue_reason("Bob Smith, 5 High Street")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (5, "5 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_a_duration_has_the_largest_unit_that_says_enough(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_moment_has_its_age_and_an_invalid_one_is_left_out() -> None:
    at = datetime.now(UTC) - timedelta(minutes=3)
    assert moment(at) == f"{at:%Y-%m-%d %H:%M:%S} UTC (3 min ago)"
    assert since_text(at.isoformat()) == f", since {moment(at)}"
    assert since_text(None) == since_text("x") == ""

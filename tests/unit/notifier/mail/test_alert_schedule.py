"""When a digest is due: full hours, an hour of the day in a time zone, and the changes of the clock."""

from datetime import UTC, datetime

import pytest

from runtime.sites.model import Site
from services.notifier.mail.alert_schedule import IMMEDIATE, AlertSchedule

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "now", "due"),
    [
        (AlertSchedule("hourly"), "2026-07-01 13:00", "2026-07-01 14:00"),
        (AlertSchedule("hourly"), "2026-07-01 13:59:59", "2026-07-01 14:00"),
        # A zone with a quarter of an hour has its own full hours.
        (AlertSchedule("hourly", timezone="Asia/Kathmandu"), "2026-07-01 13:00", "2026-07-01 13:15"),
        (AlertSchedule("daily"), "2026-07-01 07:59", "2026-07-01 08:00"),
        (AlertSchedule("daily"), "2026-07-01 08:00", "2026-07-02 08:00"),
        (AlertSchedule("daily", 8, BERLIN), "2026-07-01 05:59", "2026-07-01 06:00"),
        (AlertSchedule("daily", 8, BERLIN), "2026-12-01 06:30", "2026-12-01 07:00"),
        (AlertSchedule("daily", 0, BERLIN), "2026-07-01 22:30", "2026-07-02 22:00"),
        # The day on which summer time ends has 25 hours, and the hour from two to three twice.
        (AlertSchedule("daily", 8, BERLIN), "2026-10-24 06:00", "2026-10-25 07:00"),
        (AlertSchedule("daily", 2, BERLIN), "2026-10-25 00:30", "2026-10-26 01:00"),
        (AlertSchedule("hourly", timezone=BERLIN), "2026-10-25 00:30", "2026-10-25 01:00"),
        (AlertSchedule("hourly", timezone=BERLIN), "2026-10-25 01:30", "2026-10-25 02:00"),
        # On the day on which it begins, there is no hour from two to three.
        (AlertSchedule("daily", 2, BERLIN), "2026-03-29 00:30", "2026-03-29 01:00"),
    ],
)
def test_a_digest_is_due_at_the_next_full_hour_or_hour_of_the_day(
    schedule: AlertSchedule, now: str, due: str
) -> None:
    assert schedule.due_at(at(now)) == at(due)
    assert schedule.due_at(at(now)).utcoffset() == at(due).utcoffset()  # type: ignore[union-attr]


def test_an_immediate_alert_is_in_no_digest() -> None:
    assert IMMEDIATE.due_at(at("2026-07-01 07:59")) is None


def test_a_site_overrides_single_values_of_the_default() -> None:
    default = AlertSchedule("daily", 7, BERLIN)
    assert default.with_site(Site()) == default
    site = Site.model_validate({"alert_frequency": "immediate", "alert_hour": 0})
    assert default.with_site(site) == AlertSchedule("immediate", 0, BERLIN)
    assert default.with_site(Site(timezone="UTC")) == AlertSchedule("daily", 7, "UTC")

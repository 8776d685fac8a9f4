"""The schedule of alerts: each at once, or in a digest (a list) each hour or each day. No I/O."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from runtime.sites.mail import AlertFrequency
from runtime.sites.model import Site


@dataclass(frozen=True)
class AlertSchedule:
    """The frequency of a site's alerts. A daily digest is due at `hour` in `timezone`."""

    frequency: AlertFrequency = "immediate"
    hour: int = 8
    timezone: str = "UTC"

    def with_site(self, site: Site) -> "AlertSchedule":
        """Return the schedule of a site. What the site does not set is taken from this schedule."""
        return AlertSchedule(
            site.alert_frequency or self.frequency,
            self.hour if site.alert_hour is None else site.alert_hour,
            site.timezone or self.timezone,
        )

    def due_at(self, now: datetime) -> datetime | None:
        """Return when the digest with an alert from `now` is due, or None if the alert is sent at once."""
        if self.frequency == "immediate":
            return None
        zone = ZoneInfo(self.timezone)
        began = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
        if self.frequency == "hourly":
            # Added to the instant: the clock skips or repeats an hour when summer time begins or ends.
            return began.astimezone(UTC) + timedelta(hours=1)
        at_hour = began.replace(hour=self.hour, fold=0)
        due = at_hour.astimezone(UTC)
        return due if due > now else (at_hour + timedelta(days=1)).astimezone(UTC)


IMMEDIATE: Final = AlertSchedule()

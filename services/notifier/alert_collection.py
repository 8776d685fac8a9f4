"""Decides which alerts are collected for a digest: an email to the team that lists several leads. No I/O.

A site's schedule may ask for a digest each hour or each day. A burst of leads is collected too, so that the
provider of the team's mailbox does not throttle us.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.leads import LeadReceived
from services.notifier.mail.alert_schedule import AlertSchedule

Group = tuple[str, str]
"""A site, and the addresses that get its alerts."""


@dataclass
class AlertCollection:
    """The alerts of the last `seconds`, and when the next digests are due.

    A group is a site and the recipients of its alerts. If a group got `limit` alerts within this time,
    further ones are collected. A limit of 0 means: never. `schedule_of` returns the schedule of a site, and
    `group_of` the group of a lead.
    """

    now: datetime
    limit: int
    seconds: float
    schedule_of: Callable[[str], AlertSchedule]
    group_of: Callable[[LeadReceived], Group]
    recent: dict[Group, int] = field(default_factory=dict)
    next_digests: dict[str, datetime] = field(default_factory=dict)  # by site

    def due_at(self, lead: LeadReceived) -> datetime | None:
        """Count a new alert. Return when the digest that lists it is due, or None if it is sent by itself."""
        return self.schedule_of(lead.site).due_at(self.now) or self._due_of_burst(lead)

    def due_at_of_retry(self, lead: LeadReceived, state: str) -> datetime | None:
        """Return the same as `due_at` for an alert that is requested again. `state` is the state of its row.

        A suppressed alert (its lead was spam) is new to the team, so the schedule applies. A failed alert
        does not wait for the schedule.
        """
        if state == "suppressed":
            return self.due_at(lead)
        return None if state == "reserved" else self._due_of_burst(lead)

    def _due_of_burst(self, lead: LeadReceived) -> datetime | None:
        if not self.limit:
            return None
        group = self.group_of(lead)
        count = self.recent[group] = self.recent.get(group, 0) + 1
        if count <= self.limit:
            return None
        due = self.now + timedelta(seconds=self.seconds)
        due = self.next_digests[group[0]] = min(due, self.next_digests.get(group[0], due))
        return due

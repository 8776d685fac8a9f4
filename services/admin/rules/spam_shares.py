"""Decides whether a site's share of spam has risen so much that its form may be the cause."""

from dataclasses import dataclass
from typing import Final

# With fewer leads, two robots would count as a change.
MIN_LEADS: Final = 10
MIN_SHARE: Final = 0.5
MIN_GROWTH: Final = 2.0


@dataclass(frozen=True)
class SpamShare:
    """A site's number of leads and number of spam leads, in the last 24 hours and in the 7 days before.

    `reason` is the most frequent spam reason of the last 24 hours, or None.
    """

    site: str
    leads: int
    spam: int
    leads_before: int
    spam_before: int
    reason: str | None

    @property
    def has_risen(self) -> bool:
        """Return True if most leads of the last 24 hours are spam, and the share of spam has doubled.

        The share is compared with that of the seven days before. Returns False if a site has few leads.
        """
        if self.leads < MIN_LEADS or self.spam <= MIN_SHARE * self.leads:
            return False
        # With few leads before, there is no share to compare with.
        before = self.spam_before / self.leads_before if self.leads_before >= MIN_LEADS else 0.0
        return self.spam / self.leads >= MIN_GROWTH * before

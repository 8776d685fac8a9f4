"""What this replica remembers of the keys that it has acknowledged. Bounded; nothing else is shared.

It makes a replay's answer exact where it can: the lead's id never depends on it, and the persister
finds what this forgets.
"""

from collections import OrderedDict
from typing import NamedTuple
from uuid import UUID


class CachedResponse(NamedTuple):
    """A lead that got its 201: the digest of its body, and the time in the answer."""

    body_sha256: str
    timestamp: str


class IdempotencyCache:
    """The last acknowledged leads by id, the oldest forgotten first."""

    # About 400 bytes each: 4 MB. A retry comes within seconds or minutes.
    def __init__(self, max_leads: int = 10_000) -> None:
        self._max_leads = max_leads
        self._leads: OrderedDict[UUID, CachedResponse] = OrderedDict()

    def find(self, lead_id: UUID) -> CachedResponse | None:
        """Return what was answered for this lead, None where it is not known."""
        return self._leads.get(lead_id)

    def keep(self, lead_id: UUID, lead: CachedResponse) -> None:
        """Remember an answer; of several at once the first counts."""
        self._leads.setdefault(lead_id, lead)
        if len(self._leads) > self._max_leads:
            self._leads.popitem(last=False)

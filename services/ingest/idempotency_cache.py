"""A cache of recently accepted leads by id, so that a repeated POST gets the same response.

The cache is only an optimization. A lead's id is derived from its idempotency key, so the persister detects
the duplicates that the cache has forgotten. Each replica has its own cache. The workers of a replica send
each other what they add.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID


class CachedResponse(NamedTuple):
    """The digest of an accepted lead's body, and the timestamp in the 201 response."""

    body_sha256: str
    timestamp: str


class IdempotencyCache:
    """The most recent responses by lead id. The oldest is evicted first."""

    # An entry takes about 400 bytes, so 10,000 take 4 MB. Clients retry within seconds or minutes.
    def __init__(self, max_leads: int = 10_000) -> None:
        self._max_leads = max_leads
        self._responses: OrderedDict[UUID, CachedResponse] = OrderedDict()
        self.on_add: Callable[[UUID, CachedResponse], None] | None = None
        """Called with each response that `add` gets."""

    def get(self, lead_id: UUID) -> CachedResponse | None:
        """Return the response to this lead, or None if it is not cached."""
        return self._responses.get(lead_id)

    def add(self, lead_id: UUID, response: CachedResponse) -> None:
        """Cache a response.

        If concurrent requests for one lead add several responses, only the first response is cached.
        """
        self.record(lead_id, response)
        if self.on_add:
            self.on_add(lead_id, response)

    def record(self, lead_id: UUID, response: CachedResponse) -> None:
        """Cache a response of another worker, without a call of `on_add`."""
        self._responses.setdefault(lead_id, response)
        if len(self._responses) > self._max_leads:
            self._responses.popitem(last=False)

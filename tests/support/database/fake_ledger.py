"""The queries of a ledger, without a database."""

from collections.abc import AsyncIterator
from typing import Any


class OneEntry:
    """The queries of a ledger with one entry, for the partition t/0."""

    next_offset = 100

    async def lock_entries(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"topic": "t", "partition": 0, "epoch": 1, "next_offset": self.next_offset, "last_record": None}

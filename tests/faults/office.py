"""An admin who changes and erases leads while faults are injected, and every response."""

import asyncio
import time
from typing import Final, Protocol

import httpx

from tests.support.patience import patient

PATIENCE_SECONDS: Final = 60.0
# 404: not stored yet. The others are outages.
_AGAIN: Final = {404, 429, 500, 502, 503, 504}


class ChangedLead(Protocol):
    """The part of a lead that the office needs."""

    statuses: tuple[str, ...]
    erase: bool
    changes: list[tuple[str, int]]

    @property
    def id(self) -> str: ...


class Office:
    """Sets a lead's statuses in order, then erases it, each until there is a final response."""

    def __init__(self, url: str, token: str) -> None:
        self._leads = f"{url}/admin/leads"
        self._auth = {"Authorization": f"Bearer {token}"}

    async def change(self, client: httpx.AsyncClient, lead: ChangedLead) -> None:
        """Make a lead's changes up to the first that fails; note each last response in `lead.changes`."""
        url = f"{self._leads}/{lead.id}"
        requests = [(status, "PATCH", f"{url}/status?new_status={status}") for status in lead.statuses]
        requests += [("erased", "DELETE", url)] if lead.erase else []
        for name, method, target in requests:
            answer = await self._repeat(client, method, target)
            lead.changes.append((name, answer))
            if answer != httpx.codes.OK:
                return

    async def _repeat(self, client: httpx.AsyncClient, method: str, url: str) -> int:
        deadline, wait, status = time.monotonic() + patient(PATIENCE_SECONDS), 0.2, 0
        while time.monotonic() < deadline:
            try:
                status = (await client.request(method, url, headers=self._auth)).status_code
            except httpx.HTTPError:
                status = 0
            if status and status not in _AGAIN:
                return status
            await asyncio.sleep(wait)
            wait = min(2.0, wait * 2)
        return status

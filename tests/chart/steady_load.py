"""Posts leads at a steady rate, whether or not they are answered, and counts each refused attempt."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

import httpx

from tests.compose.load import Load
from tests.support.web.plain_http import plain_client

RATE: Final = 25


@dataclass
class SteadyLoad(Load):
    """Half of the leads come over new connections, half over connections that are kept."""

    began: float = 0
    seconds: float = 0
    slowest: float = 0
    refusals: list[str] = field(default_factory=list)
    refused_on_kept: int = 0
    kept: httpx.AsyncClient | None = None

    async def post_steadily(self, ended: asyncio.Event) -> None:
        """Post until `ended`, then wait until each lead has its 201."""
        closing = httpx.Limits(max_keepalive_connections=0)
        async with (
            plain_client(base_url=self.project.url, timeout=15) as kept,
            plain_client(base_url=self.project.url, timeout=15, limits=closing) as new,
            asyncio.TaskGroup() as group,
        ):
            self.kept = kept
            self.began, number = time.monotonic(), 0
            while not ended.is_set():
                group.create_task(self._post_one((kept, new)[number % 2]))
                number += 1
                await asyncio.sleep(max(0, self.began + number / RATE - time.monotonic()))
            self.seconds = time.monotonic() - self.began

    async def _try(
        self, client: httpx.AsyncClient, body: dict[str, object], headers: dict[str, str]
    ) -> httpx.Response | None:
        began = time.monotonic()
        try:
            answer = await client.post("/inbound/leads", json=body, headers=headers)
        except httpx.HTTPError as error:
            self._refused(client, repr(error))
            return None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        if answer.status_code == 201:
            return answer
        self._refused(client, f"{answer.status_code} {answer.text}")
        return None

    def _refused(self, client: httpx.AsyncClient, how: str) -> None:
        is_kept = client is self.kept
        self.refused_on_kept += is_kept
        connection = "kept" if is_kept else "new"
        self.refusals.append(f"{connection} connection, after {time.monotonic() - self.began:.1f} s: {how}")

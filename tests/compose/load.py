"""Posts leads like a website, with retries until a final response, and checks the results."""

import asyncio
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from tests.compose.project import INGEST_TOKEN, Project
from tests.support.wait import eventually

FINAL_SECONDS = 120


@dataclass
class Load:
    """A load whose leads are identified by their service."""

    project: Project
    mails: bool = True
    service: str = field(default_factory=lambda: f"load-{uuid4().hex[:8]}")
    lead_ids: set[str] = field(default_factory=set)
    posted: int = 0
    repeated: int = 0

    async def post(self, total: int, at_once: int = 20) -> None:
        """Post this many leads and wait until each has its 201."""
        left = iter(range(total))
        async with self.project.client() as client:

            async def poster() -> None:
                for _ in left:
                    await self._post_one(client)

            await asyncio.gather(*(poster() for _ in range(at_once)))

    async def post_until(self, ended: asyncio.Event, at_once: int = 10) -> None:
        """Post until cancelled."""
        async with self.project.client() as client:

            async def poster() -> None:
                while not ended.is_set():
                    await self._post_one(client)

            await asyncio.gather(*(poster() for _ in range(at_once)))

    async def _post_one(self, client: httpx.AsyncClient) -> None:
        key = uuid4().hex
        body: dict[str, object] = {
            "name": "Grace Hopper",
            "email": f"{key}@example.com",
            "service": self.service,
            "message": "Call me.",
        }
        # Spam is stored like any other lead, and not mailed.
        body |= {} if self.mails else {"meta": {"honeypot": "x"}}
        headers = {"Authorization": f"Bearer {INGEST_TOKEN}", "Idempotency-Key": key}
        async with asyncio.timeout(FINAL_SECONDS):
            while (answer := await self._try(client, body, headers)) is None:
                self.repeated += 1
                await asyncio.sleep(0.2)
        assert answer.status_code == 201, answer.text
        self.posted += 1
        self.lead_ids.add(answer.json()["leadId"])

    async def _try(
        self, client: httpx.AsyncClient, body: dict[str, object], headers: dict[str, str]
    ) -> httpx.Response | None:
        """Return None for a response that is not final (see README)."""
        try:
            answer = await client.post("/inbound/leads", json=body, headers=headers)
        except httpx.HTTPError:
            return None
        return None if answer.status_code in (408, 429) or answer.status_code >= 500 else answer

    async def stored(self, seconds: float = 180) -> None:
        """Wait until every lead is there once, with one entry and two deliveries, and no mail came twice."""
        assert len(self.lead_ids) == self.posted
        wanted = [str(self.posted)] * 2 + [str(2 * self.posted)]

        async def rows() -> list[str]:
            (found,) = await asyncio.to_thread(
                self.project.sql,
                f"WITH mine AS (SELECT id FROM lead_inbox WHERE service = '{self.service}')"
                " SELECT (SELECT count(*) FROM mine),"
                " (SELECT count(*) FROM audit_log WHERE event = 'lead.received'"
                "  AND lead_id IN (SELECT id FROM mine)),"
                " (SELECT count(*) FROM email_delivery WHERE state IN ('sent', 'suppressed', 'unknown')"
                "  AND lead_id IN (SELECT id FROM mine))",
            )
            return found

        await eventually(rows, until=lambda n: n == wanted, seconds=seconds, every=0.5, what=f"{wanted}")
        ids = {
            row[0] for row in self.project.sql(f"SELECT id FROM lead_inbox WHERE service = '{self.service}'")
        }
        assert ids == self.lead_ids, "another lead is stored than the one that got the 201"

    async def mailed(self) -> tuple[int, int]:
        """Return the numbers of received and of unknown mails; fail if one arrived twice."""
        mine = [m["message_id"] for m in await self.project.mails() if m["message_id"][1:37] in self.lead_ids]
        assert len(mine) == len(set(mine)), "a mail came twice"
        (found,) = self.project.sql(
            "SELECT count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'unknown')"
            f" FROM email_delivery d JOIN lead_inbox l ON l.id = d.lead_id WHERE l.service = '{self.service}'"
        )
        sent, unknown = map(int, found)
        assert sent <= len(mine) <= sent + unknown, (
            f"{sent} sent, {unknown} unknown, {len(mine)} in the mailbox"
        )
        return len(mine), unknown

"""A pod's preStop hook waits until the spool of its gateway is empty."""

import asyncio
from pathlib import Path

from deploy.container.drain_spool import wait_until_empty
from tests.support.services.installation import INGEST_TOKEN
from tests.support.services.processes import ROOT, processes
from tests.support.web.plain_http import plain_client

LEAD = (ROOT / "lead.json").read_bytes()
KAFKA_AWAY = {
    "DEBUG": "true",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN,
    "FASTCORE_INGEST_PUBLISH_BUDGET_SECONDS": "0.2",
}


async def test_drain_wait_ends_with_an_empty_spool_only(tmp_path: Path) -> None:
    with processes(tmp_path, KAFKA_AWAY, "ingest") as started:
        gateway = started["ingest"]
        await gateway.ready()
        status = f"{gateway.url}/internal/status"
        assert await asyncio.to_thread(wait_until_empty, status, 5, 0.1) == 0
        async with plain_client() as client:
            answer = await client.post(
                f"{gateway.url}/inbound/leads",
                content=LEAD,
                headers={"Authorization": f"Bearer {INGEST_TOKEN}"},
            )
        assert answer.status_code == 201
        assert await asyncio.to_thread(wait_until_empty, status, 1, 0.1) == 1
    assert await asyncio.to_thread(wait_until_empty, status, 1, 0.1) is None

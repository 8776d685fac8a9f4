"""The bench at scale on a small database: its data and its writes are as the services write them."""

import asyncio
from pathlib import Path

from rich.console import Console

from deploy.cli.audit.partitioning import is_partitioned
from deploy.cli.ledger import SQL as LEDGER
from deploy.embedded.servers.standalone import running_postgres
from services.admin.monitoring.queue_counts import count_queue, find_wrong_counts
from tests.bench.scale.audit_partitions import compare
from tests.bench.scale.databases import metered, prepared
from tests.bench.scale.reads import explain, measure_reads
from tests.bench.scale.upkeep import measure_sizes, measure_upkeep
from tests.bench.scale.writes import BATCH, measure_writes

LEADS = 1000
UNRECORDED = "SELECT count(*) FROM audit_log WHERE event_id NOT IN (SELECT event_id FROM audit_event_id)"


async def _measure(url: str) -> None:
    async with metered(url) as meter:
        before = await count_queue(meter.pool)
        assert before.books.balanced
        (newest,) = await measure_reads(meter, 1, "leads: newest first", lambda _: None)
        assert newest.processor > 0
        (plan, *_) = [each for each in await explain(meter, newest.name) if "lead_inbox" in each]
        assert "Buffers" in plan
        figures, log = await measure_writes(meter, batches=1)
        assert {each.group for each in figures} == {"persister", "notifier", "erasure", "retention"}
        assert log > 1000
        leads = await meter.pool.fetchval("SELECT count(*) FROM lead_inbox")
        assert leads == LEADS + BATCH
        await measure_upkeep(meter)
        assert not await find_wrong_counts(meter.pool)
        assert not [row async for row in LEDGER.leads_without_mails(meter.pool, limit=20)]
        sizes = await measure_sizes(meter, LEADS)
        assert sizes["lead_inbox"] > sizes["lead_inbox/lead_inbox_pkey"] > 10


async def _is_whole(url: str) -> bool:
    async with metered(url) as meter:
        partitioned = bool(await is_partitioned(meter.pool))
        return partitioned and await meter.pool.fetchval(UNRECORDED) == 0


def test_a_run_leaves_the_counts_right_and_the_log_whole(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as server:
        url = prepared(server.urls.superuser, LEADS, Console(quiet=True))
        asyncio.run(_measure(url))
        asyncio.run(compare(url, Console(quiet=True), batches=1, reads=3))
        assert asyncio.run(_is_whole(url))

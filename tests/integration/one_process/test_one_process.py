"""A lead passes through all services of one process, which share one pool and one producer."""

import signal
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.services.one_process import OneProcess
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client


async def read_metrics(services: OneProcess) -> dict[str, dict[str, float]]:
    """Return the sum of each metric on the page of each service."""
    pages: dict[str, dict[str, float]] = {}
    async with plain_client() as client:
        for name, url in services.urls.items():
            page = pages[name] = {}
            for family in text_string_to_metric_families((await client.get(f"{url}/metrics")).text):
                for sample in family.samples:
                    page[sample.name] = page.get(sample.name, 0) + sample.value
    return pages


async def test_a_lead_is_stored_mailed_and_counted_once(services: OneProcess, db: Any) -> None:
    lead_id = await services.post()
    await eventually(
        lambda: services.read_admin(f"/admin/leads/{lead_id}"),
        until=lambda lead: [mail["state"] for mail in lead.get("emails", [])] == ["sent", "sent"],
        what="the lead and its emails in the admin API",
    )
    pages = await read_metrics(services)
    counted = {
        metric: {name: page[metric] for name, page in pages.items() if page.get(metric)}
        for metric in ("fastcore_leads_accepted_total", "fastcore_mails_total", "fastcore_batch_records_sum")
    }
    assert counted["fastcore_leads_accepted_total"] == {"ingest": 1}
    assert counted["fastcore_mails_total"] == {"notifier": 2}
    records = counted["fastcore_batch_records_sum"]
    assert (records["persister"], records["notifier"], records["webhooks"]) == (1, 1, 1)
    assert [name for name, page in pages.items() if "process_cpu_seconds_total" in page] == ["ingest"]
    assert all(page["fastcore_build_info"] == 1 for page in pages.values())
    # Each service counts its own part of the one pool; ingest has none.
    with_pool = {name for name, page in pages.items() if page["fastcore_pool_acquire_seconds_count"]}
    assert with_pool == {name for name, page in pages.items() if page["fastcore_pool_max_connections"]}
    assert with_pool == pages.keys() - {"ingest"}
    pools = await db.fetch(
        "SELECT DISTINCT application_name FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'fastcore-%'"
    )
    assert [pool["application_name"] for pool in pools] == ["fastcore-shared"]
    assert services.names_in_log() >= {"ingest", "persister", "notifier", "webhooks", "flusher", "admin"}
    assert await services.stop() == -signal.SIGTERM

"""The waits before retries come from the settings, and the admin service shows those in use."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from services.admin.monitoring.scheduled_jobs import read_jobs
from tests.support.factories import lead, post
from tests.support.services.flusher import flusher
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import webhook_receiver


async def test_the_settings_decide_when_and_how_often_a_delivery_is_retried(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async with webhook_receiver() as receiver:
        receiver.answer = refuse
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch, retry_waits_seconds="1,1"):
            await post(kafka, lead())
            row = await eventually(
                lambda: db.fetchrow("SELECT attempts, retries FROM webhook_delivery WHERE state = 'dead'")
            )
    assert tuple(row) == (3, 2)


async def test_a_delivery_with_more_retries_than_the_settings_is_sent(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async with webhook_receiver() as receiver:
        good, receiver.answer = receiver.answer, refuse
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch, retry_waits_seconds="1,1,1,1"):
            await post(kafka, lead())
            await eventually(
                lambda: db.fetchval(
                    "SELECT count(*) FROM webhook_delivery WHERE state = 'failed' AND retries = 3"
                )
            )
        receiver.answer = good
        async with webhooks(kafka, postgres, sites, monkeypatch, retry_waits_seconds="1"):
            row = await eventually(
                lambda: db.fetchrow(
                    "SELECT state, reason FROM webhook_delivery WHERE state IN ('delivered', 'dead')"
                )
            )
    assert (row["state"], len(receiver.events)) == ("delivered", 1), row["reason"]


async def test_the_admin_service_shows_the_waits_of_each_stage(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        webhooks(kafka, postgres, write_sites(tmp_path), monkeypatch, retry_waits_seconds="1,2.5"),
        flusher(kafka, postgres, cron="*/7 * * * *"),
        open_pool(postgres, "test") as pool,
    ):
        await eventually(
            lambda: db.fetchval("SELECT count(*) FROM retry_schedule"), until=lambda rows: rows == 5
        )
        retries = (await read_jobs(pool)).retries
    shown = {(each.stage, each.work): (each.waits_seconds, each.cron) for each in retries}
    assert shown.pop(("webhooks", "deliveries")) == ([1, 2.5], None)
    assert shown == {
        (stage, "records"): ([0, 900, 3600], "*/7 * * * *")
        for stage in ("persister", "notifier", "webhooks", "site")
    }

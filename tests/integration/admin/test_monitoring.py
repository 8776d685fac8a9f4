"""Queue statistics, ledger, lag, jobs, health and metrics on a real PostgreSQL and Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiokafka import AIOKafkaConsumer, TopicPartition
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from contracts import topics
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import free_ports, running_kafka
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.admin import Admin, running_admin
from tests.support.wait import eventually


@pytest.fixture
async def admin(postgres: Postgres, kafka: Kafka) -> AsyncIterator[Admin]:
    async with running_admin(postgres, kafka) as running:
        yield running


async def add_ledger_row(admin: Admin, stage: str, topic: str, **outcomes: int) -> None:
    names = ", ".join(outcomes)
    values = ", ".join(str(value) for value in outcomes.values())
    await admin.db.execute(
        f"INSERT INTO partition_ledger (stage, topic, partition, base_offset, next_offset, {names})"
        f" VALUES ($1, $2, 0, 100, {100 + sum(outcomes.values())}, {values})",
        stage,
        topic,
    )


async def test_stats_count_each_stage_and_the_oldest_row_s_age(admin: Admin) -> None:
    now = datetime.now(UTC)
    await admin.add_queue_row(first_failed_at=now - timedelta(hours=1))
    await admin.add_queue_row(next_attempt_at=now + timedelta(hours=1))
    await admin.add_queue_row(next_attempt_at=now + timedelta(hours=1), requested_at=now)
    await admin.add_queue_row(state="replaying", next_attempt_at=now + timedelta(hours=1))
    await admin.add_queue_row(state="dead", stage="persister", kind="store")
    await admin.db.execute(
        "INSERT INTO stage_control VALUES ('notifier', true, 'too many dead', now(), 'notifier')"
    )
    stats = await admin.get("/admin/queue/stats")
    stages = {stage["stage"]: stage for stage in stats["stages"]}
    notifier = stages["notifier"]
    assert (notifier["waiting"], notifier["replaying"], notifier["due"], notifier["dead"]) == (3, 1, 2, 0)
    assert 3600 <= notifier["oldest_open_age_seconds"] < 3700
    assert (notifier["paused"], notifier["pause_reason"]) == (True, "too many dead")
    assert (stages["persister"]["dead"], stages["persister"]["oldest_open_at"]) == (1, None)
    assert stages["site"]["waiting"] == 0


async def test_the_ledger_balances_and_names_a_difference(admin: Admin) -> None:
    stored = await admin.add_lead()
    await admin.add_lead("spam")
    for kind in ("welcome", "admin_alert"):
        await admin.add_email(stored.lead_id, kind, "sent")
    await admin.add_queue_row()
    await admin.add_queue_row(made_by="admin")
    await add_ledger_row(admin, "persister", "x.leads.received.v1", stored=1, duplicate=3, undecodable=1)
    await add_ledger_row(admin, "persister", "x.leads.retry.persister.v1", stored=1)
    await add_ledger_row(admin, "persister", "x.audit.recorded.v1", stored=40)
    await add_ledger_row(admin, "notifier", "x.leads.received.v1", stored=1, parked=1)
    await add_ledger_row(admin, "flusher", "x.leads.failed.v1", stored=1)
    books = (await admin.get("/admin/queue/stats"))["books"]
    assert books["balanced"], books
    await admin.db.execute("UPDATE partition_ledger SET stored = 0, missing = 1 WHERE stage = 'flusher'")
    books = (await admin.get("/admin/queue/stats"))["books"]
    assert not books["balanced"]
    assert [(each["stage"], each["difference"]) for each in books["identities"] if not each["balanced"]] == [
        ("flusher", -1)
    ]


async def test_lag_counts_the_records_that_a_group_has_not_committed(admin: Admin, kafka: Kafka) -> None:
    await post(kafka, *(lead() for _ in range(20)))
    await post(kafka, *(lead() for _ in range(3)), topic=topics.FAILED.name)
    stats = await admin.get("/admin/queue/stats")
    groups = {group["group"]: group for group in stats["groups"]}
    # The group has committed nothing yet.
    assert groups["fastcore.persister"]["topics"] == {
        "leads.received.v1": 20,
        "leads.retry.persister.v1": 0,
        "audit.recorded.v1": 0,
    }
    assert stats["failed_not_taken"] == groups["fastcore.flusher"]["lag"] == 3
    await _commit_all(kafka, topics.GROUPS["persister"], topics.RECEIVED.name, leave=2)
    stats = await admin.get("/admin/queue/stats")
    groups = {group["group"]: group for group in stats["groups"]}
    assert groups["fastcore.persister"]["lag"] == 2
    assert groups["fastcore.notifier"]["lag"] == 20


async def _commit_all(kafka: Kafka, group: str, topic: str, leave: int) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + group,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        parts = [TopicPartition(kafka.topic_prefix + topic, number) for number in range(topics.PARTITIONS)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        fullest = max(ends, key=lambda part: ends[part])
        await consumer.commit({part: end - leave * (part == fullest) for part, end in ends.items()})
    finally:
        await consumer.stop()


async def test_lag_is_unknown_while_kafka_is_unavailable(postgres: Postgres, tmp_path: Path) -> None:
    with running_kafka(tmp_path) as broker:
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        await provision(kafka)
        async with running_admin(postgres, kafka) as admin:

            async def lag() -> Any:
                return (await admin.get("/admin/queue/stats"))["groups"][0]["lag"]

            # A new broker creates the topic of the group coordinator on the first request.
            await eventually(lag, until=lambda known: known == 0, what="lag known")
            broker.kill()
            stats = await admin.get("/admin/queue/stats")
            assert [group["lag"] for group in stats["groups"]] == [None] * 4
            assert stats["failed_not_taken"] is None
            assert stats["books"]["balanced"]
            health = await admin.get("/admin/health", 503)
            assert (health["broker"]["state"], health["database"]["state"]) == ("down", "up")
            broker.start()
            await eventually(lag, until=lambda known: known == 0, what="lag known again")


async def test_jobs_show_their_last_run_and_whether_it_is_overdue(admin: Admin) -> None:
    await admin.db.execute(
        "INSERT INTO scheduled_job (name, schedule, runs, last_outcome, last_duration_ms, next_run_at) VALUES"
        " ('replay', '*/5 * * * *', 7, 'succeeded', 12, now() + interval '3 minutes'),"
        " ('stuck', '*/5 * * * *', 1, 'failed', 5, now() - interval '20 minutes')"
    )
    await admin.db.execute(
        "INSERT INTO retry_schedule (stage, work, waits_seconds, jitter)"
        " VALUES ('webhooks', 'deliveries', '{5,300}', 0.2)"
    )
    answer = await admin.get("/admin/scheduler/jobs")
    (retries,), jobs = answer["retries"], answer["jobs"]
    assert (retries["stage"], retries["waits_seconds"], retries["cron"]) == ("webhooks", [5, 300], None)
    assert [(job["name"], job["runs"], job["last_outcome"], job["overdue"]) for job in jobs] == [
        ("replay", 7, "succeeded", False),
        ("stuck", 1, "failed", True),
    ]


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    port = free_ports(1)[0]
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)

    async def started() -> bool:
        return server.started

    serving = asyncio.create_task(server.serve())
    await eventually(started)
    yield f"http://localhost:{port}"
    server.should_exit = True
    await serving


async def test_health_and_spools_are_read_from_the_services(postgres: Postgres, kafka: Kafka) -> None:
    service, smtp_ok = FastAPI(), [True]

    @service.get("/readyz")
    async def readyz() -> JSONResponse:
        part = {"ok": smtp_ok[0], "reason": "" if smtp_ok[0] else "smtp not reached", "since": "x"}
        return JSONResponse({"parts": {"smtp": part}}, 200 if smtp_ok[0] else 503)

    @service.get("/internal/status")
    async def status() -> dict[str, Any]:
        return {"spool": {"depth": 3}}

    async with served(service) as url:
        gateways = f"{url},http://localhost:1,http://no-such-name.invalid"
        services = f"notifier={url}, ingest={url}/"
        async with running_admin(postgres, kafka, gateway_urls=gateways, service_urls=services) as admin:
            health = await admin.get("/admin/health")
            assert (health["status"], health["mail"]["state"]) == ("up", "up")
            assert set(health["services"]) == {"notifier", "ingest"}
            spools = (await admin.get("/admin/queue/stats"))["gateways"]
            known = [spool for spool in spools if spool["state"] == "up"]
            assert [spool["status"] for spool in known] == [{"spool": {"depth": 3}}]
            assert {spool["status"] for spool in spools if spool not in known} == {None}
            smtp_ok[0] = False
            health = await admin.get("/admin/health", 503)
            assert (health["mail"]["state"], health["mail"]["reason"]) == ("down", "smtp not reached")
        async with running_admin(postgres, kafka, service_urls="flusher=http://localhost:1") as admin:
            health = await admin.get("/admin/health", 503)
            assert health["services"]["flusher"]["state"] == "down"
            assert health["mail"]["state"] == "unknown"


async def test_only_dead_notifications_to_the_team_are_counted_for_the_alert(admin: Admin) -> None:
    for kind in ("welcome", "admin_alert"):
        await admin.add_queue_row(state="dead", next_attempt_at=None, kind=kind)
    await admin.add_queue_row(state="archived", next_attempt_at=None, kind="admin_alert")

    async def exported() -> str:
        return str((await admin.client.get("/metrics")).text)

    await eventually(exported, until=lambda text: "fastcore_dead_notifications 1.0" in text)


async def test_metrics_have_ledger_drift_queue_rows_and_lag(admin: Admin) -> None:
    # The first poll may precede the rows of a test, so test only the initial values.
    async def page() -> str:
        return (await admin.client.get("/metrics")).text

    measured = 'fastcore_group_lag_records{group="fastcore.flusher",topic="leads.failed.v1"}'
    text = await eventually(page, until=lambda text: measured in text)
    assert 'fastcore_ledger_drift_rows{identity="leads",stage="persister"} 0.0' in text
    assert 'fastcore_queue_rows{stage="notifier",state="waiting"} 0.0' in text

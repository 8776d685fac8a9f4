"""The doctor on a healthy installation, and on one in which every check must fail."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from contracts import topics
from deploy.cli.doctor.deliveries import check_destinations, check_outbox
from deploy.embedded.servers.standalone import free_ports
from runtime.database.postgres import open_pool, snapshot
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.mail.dkim_keys import KEY
from tests.support.mail.dns_server import dns_server
from tests.support.services.installation import ADMIN_TOKEN, INGEST_TOKEN, Installation
from tests.support.services.processes import ROOT
from tests.support.stack import Database
from tests.support.wait import eventually


async def doctor(environment: Mapping[str, str]) -> tuple[int, str, set[tuple[str, str]]]:
    """Run the doctor as a command. Return its exit code, its output, and each check with its level."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "deploy.cli.doctor"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    found = {(line[1], line[0]) for line in lines if line and line[0] in ("ok", "warn", "fail")}
    return done.returncode, done.stdout, found


def secrets(database: Database) -> list[str]:
    return [INGEST_TOKEN, ADMIN_TOKEN, database.service, database.service.split(":")[2].split("@")[0] + "@"]


async def test_a_whole_installation_is_well_but_for_what_is_a_developers(installation: Installation) -> None:
    posted = await installation.post(
        {"name": "Ada", "email": "ada@example.com", "service": "Web design", "message": "Please call me."}
    )
    assert posted.status_code == 201

    async def has_no_lag() -> Any:
        stats = (await installation.admin("GET", "/admin/queue/stats")).json()
        return all(group["lag"] == 0 for group in stats["groups"])

    await eventually(has_no_lag, what="no lag")
    environment = {**installation.services["admin"].environment, "FASTCORE_HTTP_PORT": ""}
    async with dns_server() as zone:
        zone.txt("fastcore.example", "v=spf1 ip4:192.0.2.1 -all")
        zone.txt("s1._domainkey.fastcore.example", f"v=DKIM1; p={KEY}")
        zone.txt("_dmarc.fastcore.example", "v=DMARC1; p=reject")
        environment["FASTCORE_DOCTOR_NAMESERVERS"] = zone.address
        environment["FASTCORE_DOCTOR_DKIM_SELECTORS"] = "s1"
        code, output, found = await doctor(environment)
    assert code == 0, output
    assert not [check for check, level in found if level == "fail"], output
    for check in [
        "settings",
        "kafka",
        "auto-creation",
        "topics",
        "groups",
        "lag",
        "books",
        "database",
        "database-role",
        "audit-log",
        "migrations",
        "clocks",
        "connections",
        "outbox",
        "destinations",
        "ledger",
        "services",
        "spools",
        "mail",
        "mail-format",
        "spf",
        "dkim",
        "dmarc",
        "disk",
        "bootstrap",
        "offsets-topic",
    ]:
        assert (check, "ok") in found, f"{check}: {output}"
    for check in ("debug", "tokens", "brokers"):
        assert (check, "warn") in found, f"{check}: {output}"
    for secret in secrets(installation.database):
        assert secret not in output
    assert "\x1b" not in output, "colour only on a terminal"


@pytest.fixture
async def broken(kafka: Kafka, database: Database, db: Any, tmp_path: Path) -> dict[str, str]:
    """Return the settings of an installation in which every check fails, although all servers answer."""
    role = database.service.split("/")[2].split(":")[0]
    await db.execute(f'GRANT UPDATE ON audit_log TO "{role}"')
    await db.execute(f'GRANT CREATE ON SCHEMA public TO "{role}"')
    await db.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
    await db.execute("DELETE FROM schema_migration WHERE name LIKE '0002%'")
    await db.execute(
        "INSERT INTO scheduled_job (name, schedule, next_run_at) "
        " VALUES ('replay_queue', '*', now() - interval '1 h')"
    )
    await db.execute(
        "INSERT INTO partition_ledger (stage, topic, partition, base_offset, next_offset, stored)"
        " VALUES ('persister', $1, 0, 0, 1, 1)",
        kafka.topic_prefix + topics.RECEIVED.name,
    )
    await db.execute(
        "INSERT INTO stage_control (stage, paused, reason, changed_by) VALUES ('notifier', true, 'x', 'y')"
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([kafka.topic_prefix + topics.DEAD.name])
    await admin.close()
    nobody, silent = free_ports(2)
    return {
        "PATH": "",
        "DATABASE_URL": database.service,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_KAFKA_REPLICATION": "1",
        "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN,
        "FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN,
        "FASTCORE_ADMIN_SERVICE_URLS": f"ingest=http://127.0.0.1:{nobody}",
        "FASTCORE_ADMIN_GATEWAY_URLS": f"http://127.0.0.1:{nobody}",
        "FASTCORE_INGEST_SPOOL_FOLDER": str(tmp_path),
        "FASTCORE_INGEST_SPOOL_MAX_BYTES": str(1 << 60),
        "FASTCORE_POSTGRES_POOL_MAX": "4000",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(silent),
        "FROM_EMAIL": "no address",
        "ADMIN_EMAIL": "boss@fast.example",
    }


async def test_every_fault_is_a_fail_that_says_what_to_do(broken: dict[str, str], database: Database) -> None:
    code, output, found = await doctor(broken)
    assert code == 1
    for check in [
        "settings",
        "tokens",
        "topics",
        "groups",
        "database-role",
        "audit-log",
        "migrations",
        "jobs",
        "ledger",
        "breaker",
        "connections",
        "services",
        "spools",
        "mail",
        "disk",
    ]:
        assert (check, "fail") in found, f"{check}: {output}"
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("fail"):
            assert lines[number + 1].strip().startswith("->"), f"{line!r} says nothing to do"
    for secret in secrets(database):
        assert secret not in output


async def test_what_waits_for_other_systems_is_a_warning(postgres: Postgres, db: Any) -> None:
    await db.execute(
        "INSERT INTO lead_event_outbox (type, lead_id, site, created_at)"
        " VALUES ('lead.updated', gen_random_uuid(), 'x', now() - interval '10 min')"
    )
    await db.execute(
        "INSERT INTO webhook_destination (name, disabled_at, disabled_reason, paused_until, paused_since,"
        " last_reason)"
        " VALUES ('gone', now(), 'destination answered 410', NULL, NULL, NULL),"
        " ('good', NULL, NULL, NULL, NULL, NULL),"
        " ('slow', NULL, NULL, now(), now() - interval '3 h', 'destination answered 500')"
    )
    await db.execute(
        "WITH event AS (INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, delivery_count)"
        " VALUES (gen_random_uuid(), 'lead.received', gen_random_uuid(), 'x', now(), 1) RETURNING *)"
        " INSERT INTO webhook_delivery (event_id, destination, lead_id, position, state)"
        " SELECT id, 'slow', lead_id, position, 'dead' FROM event"
    )
    async with open_pool(postgres, "test") as pool, snapshot(pool) as connection:
        results = [
            await check_outbox(connection),
            *[each async for each in check_destinations(connection, None)],
        ]
        configured = [each async for each in check_destinations(connection, {"good"})]
    assert [(each.check, each.level, each.seen) for each in results] == [
        ("outbox", "warn", "changes of leads that wait: 1, the oldest for 10 minutes"),
        (
            "destinations",
            "warn",
            "gone is disabled for 0 minutes, deliveries that wait: 0, because destination answered 410",
        ),
        (
            "destinations",
            "warn",
            "slow is paused for 3 hours, deliveries that wait: 0, because destination answered 500",
        ),
        ("destinations", "warn", "slow has dead deliveries: 1"),
        ("destinations", "ok", "1 without a fault"),
    ]
    assert [each.seen for each in configured] == ["1 without a fault"], "the others are not in the sites file"


async def test_a_ledger_that_a_restore_set_back_is_found(
    kafka: Kafka, database: Database, broken: dict[str, str]
) -> None:
    await post(kafka, *[lead() for _ in range(12)])
    topic = kafka.topic_prefix + topics.RECEIVED.name
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + topics.GROUPS["persister"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    await eventually(lambda: asyncio.sleep(0, consumer.assignment()), what="an assignment")
    ends = await consumer.end_offsets([TopicPartition(topic, n) for n in range(topics.PARTITIONS)])
    await consumer.commit(ends)
    reading = asyncio.create_task(consumer.getmany(timeout_ms=60_000))
    try:
        code, output, found = await doctor(broken)
    finally:
        reading.cancel()
        await consumer.stop()
    assert code == 1
    assert ("books", "fail") in found, output
    assert "docs/runbooks/LedgerRewound.md" in output


@pytest.mark.parametrize(
    ("text", "level", "shown"),
    [
        ("[sites.x]", "ok", "1 sites, digest"),
        ("[sites.x]\nlocale = 1", "fail", "sites.x.locale: must be text in quotes"),
        ("[sites.x]\ntokens = ['env:ABSENT']", "fail", "sites.x.tokens: the variable ABSENT is not set"),
    ],
)
async def test_the_sites_file_is_checked(tmp_path: Path, text: str, level: str, shown: str) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(text)
    code, output, found = await doctor({"PATH": "", "DEBUG": "true", "FASTCORE_SITES_FILE": str(file)})
    assert ("sites-file", level) in found, output
    assert shown in output
    assert code == (level == "fail")


@pytest.mark.parametrize("variable", ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"])
async def test_an_unavailable_server_is_named_and_the_others_are_checked(
    broken: dict[str, str], variable: str
) -> None:
    port = free_ports(1)[0]
    away = {"DATABASE_URL": f"postgresql://u:secret-word@127.0.0.1:{port}/x"}.get(
        variable, f"127.0.0.1:{port}"
    )
    code, output, found = await doctor({**broken, variable: away})
    assert code == 1
    assert ("database" if variable == "DATABASE_URL" else "kafka", "fail") in found, output
    assert ("mail", "fail") in found, "the doctor went on"
    assert "secret-word" not in output


@pytest.mark.parametrize(
    ("debug", "password", "level"),
    [("false", "fastcore", "fail"), ("true", "fastcore", "warn"), ("false", "wL8qPz3v", "ok")],
)
async def test_regression_a_password_that_this_repository_shows_is_found(
    debug: str, password: str, level: str
) -> None:
    url = f"postgresql://fastcore:{password}@postgres.invalid:5432/fastcore"
    _, output, found = await doctor({"PATH": "", "DEBUG": debug, "DATABASE_URL": url})
    assert ("passwords", level) in found, output


async def test_a_server_that_is_not_configured_is_named_and_not_checked() -> None:
    code, output, found = await doctor({"PATH": "", "DEBUG": "true"})
    assert code == 0, output
    assert ("settings", "warn") in found
    assert "DATABASE_URL" in output

"""Restores a backup by the documented steps: no lead is lost, and no email is sent twice."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from contracts import topics
from contracts.leads import LeadReceived
from deploy.cli.migrate import migrate
from deploy.cli.topics import provision
from deploy.embedded.servers.postgres_cluster import binaries
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post, producer
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.admin import Admin, running_admin
from tests.support.services.consumer_services import running_consumers
from tests.support.services.processes import ROOT
from tests.support.stack import Database, Stack
from tests.support.wait import eventually

FROM, BOSS = "hello@fast.example", "boss@fast.example"


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


@contextlib.asynccontextmanager
async def services(kafka: Kafka, postgres: Postgres, smtp: SmtpServer) -> AsyncIterator[Admin]:
    """Run all services behind the gateway in this process."""
    async with running_consumers(kafka, postgres, smtp), running_admin(postgres, kafka) as admin:
        yield admin


@pytest.fixture
def shell(database: Database, kafka: Kafka, smtp: SmtpServer, tmp_path: Path) -> Any:
    """Run a block of commands of docs/operations.md and return its output."""
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{binaries() / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database.service,
        "OLD_DATABASE_URL": database.owner,
        "FASTCORE_MIGRATION_DATABASE_URL": database.owner,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_KAFKA_REPLICATION": "1",
        "SMTP_HOST": smtp.host,
        "FROM_EMAIL": FROM,
        "ADMIN_EMAIL": BOSS,
        "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # an alert for each lead
    }

    def do(commands: str, status: int) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(block: str, status: int = 0) -> str:
        if block == "restored":  # only the last step of the block
            return do("python -m deploy.cli.restore_reconcile", status)
        text = (ROOT / "docs/operations.md").read_text()
        found = re.search(rf"<!-- tried: {block} -->\n```\n(.*?)```", text, re.DOTALL)
        assert found, f"docs/operations.md has no block {block!r}"
        return do(found[1], status)

    return run


OLDER_RESTORE = f"""#!/bin/bash
for each in "$@"; do case $each in --dbname=*) url=${{each#--dbname=}} ;; esac; done
{binaries()}/bin/pg_restore --no-owner --file=- "${{@: -1}}" | sed /transaction_timeout/d |
  psql --quiet --single-transaction --set=ON_ERROR_STOP=1 "$url" >/dev/null
"""


async def make_empty(stack: Stack, database: Database, folder: Path) -> None:
    """Destroy the database, and create an empty one for the restore. The roles exist."""
    await stack.drop_database(database)
    owner = urlsplit(database.owner)
    connection = await asyncpg.connect(stack.admin_url)
    await connection.execute(f'CREATE DATABASE "{owner.path[1:]}" OWNER "{owner.username}"')
    old = connection.get_server_version().major < 17
    await connection.close()
    if old:
        # The client programs are of version 18, and print a setting that this server does not know.
        (folder / "pg_restore").write_text(OLDER_RESTORE)
        (folder / "pg_restore").chmod(0o755)


async def until_processed(admin: Admin, leads: int, mails: int) -> Any:
    """Wait until this many leads are stored, this many emails have an outcome, and no group has lag."""

    async def read() -> tuple[int, int, int]:
        counts = await admin.app.state.adapters.system.count_queue()
        stats = await admin.get("/admin/queue/stats")
        lag = sum(each["lag"] for each in stats["groups"] if not each["group"].endswith("webhooks"))
        open_mails = sum(counts.books.email_states.get(state, 0) for state in ("reserved", "sending"))
        stored = await admin.db.fetchval("SELECT count(*) FROM lead_inbox")
        return stored, sum(counts.books.email_states.values()) - open_mails, lag

    return await eventually(
        read, until=lambda at: at == (leads, mails, 0), seconds=60, what="all until_processed"
    )


def once(smtp: SmtpServer, *leads: LeadReceived) -> None:
    for each in leads:
        for kind in ("welcome", "admin_alert"):
            assert len(smtp.of(each.lead_id, kind)) == 1, f"{kind} of {each.email}"


async def test_restore_of_backup_under_load_loses_no_lead_and_repeats_no_mail(
    stack: Stack,
    kafka: Kafka,
    postgres: Postgres,
    database: Database,
    smtp: SmtpServer,
    shell: Any,
    tmp_path: Path,
) -> None:
    greylisted, refused = lead(email="later@slow.example"), lead(email="nobody@typo.example")
    spam, erased = lead(spam_reasons=("honeypot",)), lead(name="Erased Person")
    before, during = [lead() for _ in range(60)], [lead() for _ in range(60)]
    smtp.always["rcpt:later@slow.example"] = "451 4.7.1 greylisted"
    smtp.always["rcpt:nobody@typo.example"] = "550 5.1.1 unknown"
    async with services(kafka, postgres, smtp) as admin:
        await post(kafka, erased, *before)
        await eventually(lambda: admin.db.fetchval("SELECT count(*) FROM lead_inbox"), until=lambda n: n > 20)
        backup = asyncio.create_task(asyncio.to_thread(shell, "backup"))
        for each in during:
            await post(kafka, each)
        await backup
        await post(kafka, greylisted, refused, spam)
        async with producer(kafka) as raw:
            await raw.send_and_wait(kafka.topic_prefix + topics.RECEIVED.name, b"no lead", key=b"x")
        await until_processed(admin, 124, 248)
        await admin.request("DELETE", f"/admin/leads/{erased.lead_id}")
        sent = len(smtp.mails)
    shell("erased")

    await make_empty(stack, database, tmp_path)
    late = [lead() for _ in range(5)]
    await post(kafka, *late)  # the gateway needs no database
    output = shell("restore")
    assert "persister: " in output
    assert "records are processed again" in output

    async with services(kafka, postgres, smtp) as admin:
        await until_processed(admin, 129, 258)
        assert len(smtp.mails) == sent + 10, "only the five late leads are mailed"
        states = await admin.db.fetch(
            "SELECT kind, state FROM email_delivery WHERE lead_id = $1", refused.lead_id
        )
        assert {row["kind"]: row["state"] for row in states} == {"welcome": "dead", "admin_alert": "sent"}
        del smtp.always["rcpt:later@slow.example"]
        await admin.request("POST", "/admin/queue/flush", 202)
        await eventually(
            lambda: asyncio.sleep(0, len(smtp.of(greylisted.lead_id, "welcome"))), what="the mail"
        )
        once(smtp, erased, greylisted, *before, *during, *late)
        assert not smtp.of(spam.lead_id, "welcome")
        # The erasure came after the backup.
        (again,) = (tmp_path / "erased.txt").read_text().split()
        path = f"/admin/leads/{again}"
        assert (await admin.get(path))["lead"]["name"] == "Erased Person"
        await admin.request("DELETE", path)
        assert (await admin.get(path))["lead"]["name"] == ""
        await until_processed(admin, 129, 258)
        assert "nothing is missing and the ledger balances" in shell("check")


async def test_restore_with_another_kafka_starts_a_new_ledger_epoch(
    stack: Stack,
    kafka: Kafka,
    postgres: Postgres,
    database: Database,
    smtp: SmtpServer,
    shell: Any,
    tmp_path: Path,
) -> None:
    known, new = [lead() for _ in range(20)], [lead() for _ in range(40)]
    async with services(kafka, postgres, smtp) as admin:
        await post(kafka, *known)
        await until_processed(admin, 20, 40)
    shell("backup")
    await make_empty(stack, database, tmp_path)
    await replace_topics(kafka)
    await post(
        kafka, *new
    )  # more records than the ledger has counted: it must not mistake these for counted ones
    # One of six partitions may have had none of the 20 leads. Then nothing shows that its log is another.
    assert re.search(r"notifier: [56] partitions belong to another log", shell("restore"))
    async with services(kafka, postgres, smtp) as admin:
        await until_processed(admin, 60, 120)
        once(smtp, *known, *new)
        assert "nothing is missing and the ledger balances" in shell("check")


async def test_a_database_lost_without_a_backup_comes_back_from_kafka(
    stack: Stack,
    kafka: Kafka,
    postgres: Postgres,
    database: Database,
    smtp: SmtpServer,
    shell: Any,
    tmp_path: Path,
) -> None:
    known = [lead() for _ in range(20)]
    async with services(kafka, postgres, smtp) as admin:
        await post(kafka, *known)
        await until_processed(admin, 20, 40)
    await make_empty(stack, database, tmp_path)
    await migrate(database.owner, database.service)
    assert "recorded again from Kafka, and not sent again" in shell("restored")
    async with services(kafka, postgres, smtp) as admin:
        await until_processed(admin, 20, 40)
        once(smtp, *known)
        assert "nothing is missing and the ledger balances" in shell("check")


async def test_beside_services_that_run_there_is_nothing_to_bring_back(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, shell: Any, database: Database
) -> None:
    shell("backup")
    async with services(kafka, postgres, smtp) as admin:
        await post(kafka, lead())
        await until_processed(admin, 1, 2)
        assert "there is nothing to repair" in await asyncio.to_thread(shell, "restored")


async def replace_topics(kafka: Kafka) -> None:
    """Recreate the topics, as on a new Kafka."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([kafka.topic_prefix + topic.name for topic in topics.ALL])
    await admin.close()

    async def made() -> bool:
        with contextlib.suppress(KafkaError):
            await provision(kafka)
        return not await provision(kafka)

    await eventually(made, what="new topics")

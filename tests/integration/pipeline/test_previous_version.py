"""The previous version runs beside this one, on the schema of this one: an upgrade, and the way back.

`tests/support/previous_version.txt` names its commit. A release changes it (CONTRIBUTING.md).
"""

import asyncio
import io
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from rich.console import Console

from deploy.cli.ledger import compare_all
from deploy.cli.migrate import migrate
from deploy.embedded.servers.standalone import Mailbox
from runtime.settings import Kafka, Postgres
from tests.support.services.processes import ROOT, ServiceProcess, processes
from tests.support.stack import Database, Stack
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-the-website-1234567890"
CONSUMERS = ("persister", "notifier", "webhooks", "flusher", "admin")
RATE = 25
PHASE_SECONDS = 2.0


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the previous version."""
    commit = (ROOT / "tests/support/previous_version.txt").read_text().strip()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        shallow = ["git", "rev-parse", "--is-shallow-repository"]
        done = subprocess.run(shallow, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "true":
            pytest.skip(f"this clone has no history: git fetch --unshallow brings {commit}")
        pytest.fail(archive.stderr.decode())
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
async def empty(stack: Stack) -> AsyncIterator[Database]:
    """A database without tables."""
    made = await stack.new_database("template0")
    yield made
    await stack.drop_database(made)


@pytest.fixture
def environment(empty: Database, kafka: Kafka, mailbox: Mailbox) -> dict[str, str]:
    """The settings of both versions."""
    return {
        "DEBUG": "true",
        "DATABASE_URL": empty.service,
        "FASTCORE_MIGRATION_DATABASE_URL": empty.owner,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_KAFKA_REPLICATION": "1",
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "FASTCORE_ADMIN_TOKEN": "a-token-of-the-admin-1234567890",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mailbox.smtp_port),
        "SMTP_TLS": "false",
        "FROM_EMAIL": "leads@fastcore.example",
        "ADMIN_EMAIL": "admin@fastcore.example",
        "FASTCORE_NOTIFIER_ALERT_BURST": "0",
        "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "100000",
    }


@pytest.fixture
def mailbox(tmp_path: Path) -> Any:
    """A mail server that accepts everything."""
    server = Mailbox(tmp_path)
    server.start()
    yield server
    server.stop()


@dataclass
class Website:
    """Posts leads to the gateways that are to be used, and counts the responses."""

    gateways: list[ServiceProcess] = field(default_factory=list)
    responses: list[int] = field(default_factory=list)

    async def post_until(self, ended: asyncio.Event) -> None:
        async with plain_client() as client:
            while not ended.is_set():
                gateway = self.gateways[len(self.responses) % len(self.gateways)]
                person = f"{uuid4().hex}@example.com"
                response = await client.post(
                    f"{gateway.url}/inbound/leads",
                    json={"name": "Ann", "email": person, "message": "Hello", "consent": True},
                    headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": str(uuid4())},
                    timeout=20,
                )
                self.responses.append(response.status_code)
                await asyncio.sleep(1 / RATE)


@asynccontextmanager
async def _posting(website: Website) -> AsyncIterator[None]:
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(website.post_until(ended))
        try:
            yield
            await asyncio.sleep(PHASE_SECONDS)
        finally:
            ended.set()


class Versions:
    """Starts and stops the services of a version."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder

    @asynccontextmanager
    async def running(self, code: Path, *names: str) -> AsyncIterator[dict[str, ServiceProcess]]:
        """Run services of a checkout, and stop them with SIGTERM."""
        environment = self._environment | {"FASTCORE_INGEST_SPOOL_FOLDER": str(self._folder / uuid4().hex)}
        with processes(self._folder, environment, *names, code=code) as started:
            for service in started.values():
                await service.ready(60)
            yield started
            await asyncio.gather(*(service.stop() for service in started.values()))


@pytest.mark.timeout(400)  # 21 processes start
async def test_an_upgrade_and_the_way_back_lose_nothing_under_load(
    previous: Path,
    empty: Database,
    kafka: Kafka,
    environment: dict[str, str],
    tmp_path: Path,
    mailbox: Mailbox,
) -> None:
    command = [sys.executable, "-m", "deploy.cli.migrate", "--quiet"]
    await asyncio.to_thread(
        subprocess.run, command, cwd=previous, env={"PATH": "/usr/bin:/bin", **environment}, check=True
    )
    versions, website = Versions(environment, tmp_path), Website()
    async with AsyncExitStack() as new:
        async with versions.running(previous, "ingest") as gateway:
            website.gateways = [gateway["ingest"]]
            async with versions.running(previous, *CONSUMERS), _posting(website):
                await asyncio.sleep(PHASE_SECONDS)
                await migrate(empty.owner, empty.service)
                await asyncio.sleep(PHASE_SECONDS)
                await new.enter_async_context(versions.running(ROOT, *CONSUMERS))  # beside the old
            async with _posting(website), AsyncExitStack() as upgraded:  # the old gateway, the new consumers
                newest = await upgraded.enter_async_context(versions.running(ROOT, "ingest"))
                website.gateways.append(newest["ingest"])
                await asyncio.sleep(PHASE_SECONDS)
                website.gateways = [gateway["ingest"]]  # the way back begins with the gateways
        async with versions.running(previous, "ingest") as gateway, AsyncExitStack() as old:
            website.gateways = [gateway["ingest"]]
            async with _posting(website):
                await old.enter_async_context(versions.running(previous, *CONSUMERS))  # beside the new
                await new.aclose()
                await asyncio.sleep(PHASE_SECONDS)
            await _arrived(len(website.responses), empty, mailbox)
    assert set(website.responses) == {201}
    await _check(kafka, empty)


async def _arrived(leads: int, database: Database, mailbox: Mailbox) -> None:
    """Wait until each lead is stored, and has its two emails."""
    connection = await asyncpg.connect(database.owner)

    async def counts() -> tuple[int, int]:
        stored = await connection.fetchval("SELECT count(*) FROM lead_inbox")
        sent = await connection.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'")
        return stored, sent

    await eventually(counts, until=lambda found: found == (leads, 2 * leads), seconds=90)
    await connection.close()
    async with plain_client() as client:
        mails = (await client.get(f"{mailbox.url}/api/messages", timeout=60)).json()
    assert len(mails) == 2 * leads


async def _check(kafka: Kafka, database: Database) -> None:
    console = Console(record=True, width=120)
    assert await compare_all(kafka, Postgres.model_validate({"url": database.service}), console), (
        console.export_text()
    )

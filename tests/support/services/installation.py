"""A complete installation: six services, the edge, a mailbox, and real servers."""

import contextlib
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from deploy.embedded.servers.standalone import Mailbox, free_ports
from runtime.settings import Kafka
from tests.support.services.processes import ROOT, ServiceProcess
from tests.support.stack import Database, Stack
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

INGEST_TOKEN = "dev-token-xyz-123"
ADMIN_TOKEN = "dev-admin-token-xyz-123"
HOOK_KEY = "hook-key-of-the-studio-1234567890"
# The site whose form builders post to `HOOK_KEY`. The tests post for one person more often than the limit.
SITES = f"""
[sites.studio]
name = "Studio Nord"
hook_keys = ["sha256:{hashlib.sha256(HOOK_KEY.encode()).hexdigest()}"]
limits = {{ leads_per_email_per_hour = 0 }}
reply = {{ subject = "Your request to {{{{ site }}}}", body = "Hello {{{{ name }}}}," }}
"""
NAMES = ("ingest", "persister", "notifier", "webhooks", "flusher", "admin")


@dataclass
class Installation:
    """The addresses of an installation. `url` is the edge, which serves every documented URL."""

    url: str
    kafka: Kafka
    database: Database
    mailbox: Mailbox
    services: dict[str, ServiceProcess]

    def client(self) -> httpx.AsyncClient:
        return plain_client(base_url=self.url, timeout=10)

    async def post(self, body: Any, **headers: str) -> httpx.Response:
        """Post a lead as the website does."""
        async with self.client() as client:
            return await client.post(
                "/inbound/leads", json=body, headers={"Authorization": f"Bearer {INGEST_TOKEN}", **headers}
            )

    async def admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request to the admin service with the admin token."""
        async with self.client() as client:
            return await client.request(
                method, path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, **options
            )

    async def mails(self) -> list[dict[str, Any]]:
        """Return all mails that have arrived."""
        async with plain_client() as client:
            answer: list[dict[str, Any]] = (await client.get(f"{self.mailbox.url}/api/messages")).json()
            return answer

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """Query the database."""
        connection = await asyncpg.connect(self.database.owner)
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def running_installation(
    stack: Stack, folder: Path, *, sites: str = SITES, **given: str
) -> AsyncIterator[Installation]:
    """Start everything, wait until it is ready, and stop it with SIGTERM.

    `sites` is the sites file. `given` has more variables.
    """
    database, kafka = await stack.new_database(), await stack.new_topics()
    mailbox = Mailbox(folder)
    edge_port = free_ports(1)[0]
    (folder / "sites.toml").write_text(sites)
    environment = {
        "DEBUG": "true",
        "DATABASE_URL": database.service,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_KAFKA_REPLICATION": "1",
        "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN,
        "FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mailbox.smtp_port),
        "SMTP_TLS": "false",
        "FASTCORE_INGEST_SPOOL_FOLDER": str(folder / "spool"),
        "FASTCORE_SITES_FILE": str(folder / "sites.toml"),
        "FROM_EMAIL": "leads@fastcore.example",
        "ADMIN_EMAIL": "admin@fastcore.example",
        "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # an alert for each lead
        **given,
    }
    services = {name: ServiceProcess(name, environment, folder) for name in NAMES}
    services["admin"].environment |= {
        "FASTCORE_ADMIN_GATEWAY_URLS": services["ingest"].url,
        "FASTCORE_ADMIN_SERVICE_URLS": ",".join(f"{n}={s.url}" for n, s in services.items()),
    }
    edge: subprocess.Popen[bytes] | None = None
    try:
        mailbox.start()
        for service in services.values():
            service.start()
        edge = subprocess.Popen(  # noqa: ASYNC220 - started here, waited for below
            [
                sys.executable, "-m", "deploy.embedded.servers.edge", "--port", str(edge_port),
                "--ingest", services["ingest"].url, "--admin", services["admin"].url,
                "--folder", str(folder),
            ],
            cwd=ROOT,
        )  # fmt: skip
        for service in services.values():
            await service.ready(60)
        running = Installation(f"http://127.0.0.1:{edge_port}", kafka, database, mailbox, services)
        await eventually(lambda: _answers(running), what="the edge")
        yield running
    finally:
        if edge is not None:
            edge.terminate()
            edge.wait(10)
        for service in services.values():
            if service.process and service.process.poll() is None:
                service.process.terminate()
        for service in services.values():
            if service.process:
                service.process.wait(60)
        mailbox.stop()
        await stack.drop_database(database)


async def _answers(installation: Installation) -> bool:
    try:
        async with installation.client() as client:
            return (await client.get("/livez")).status_code == 200
    except httpx.HTTPError:
        return False

"""All services on three brokers, with a database and a mail server, and what a run does to them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka.errors import KafkaError

from contracts import topics
from deploy.cli.migrate import migrate
from deploy.cli.topic_provisioning import OFFSETS_TOPIC, open_admin, provision, read_layout
from deploy.embedded.servers.standalone import Kafka as Broker
from deploy.embedded.servers.standalone import running_postgres
from runtime.settings import Kafka
from tests.faults.outage import TOKEN, Meter
from tests.support.kafka.brokers import running_brokers
from tests.support.mail.smtp import SmtpServer
from tests.support.services.processes import ROOT, ServiceProcess, processes
from tests.support.wait import eventually

SERVICES = ("ingest", "persister", "notifier", "flusher", "admin")
ADMIN_TOKEN = "Vd7kQx2mRp9sLw4tZb6yHc3n"
QUIET_SECONDS = 180.0


@dataclass
class Cluster:
    """Brokers, services, database and mail server of one run, and what was seen of them."""

    brokers: list[Broker]
    services: dict[str, ServiceProcess]
    environment: dict[str, str]
    database: "asyncpg.Connection[Any]"
    smtp: SmtpServer
    meter: Meter
    phases: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kafka(self) -> Kafka:
        return Kafka(bootstrap_servers=",".join(broker.bootstrap_servers for broker in self.brokers))

    async def phase(
        self, name: str, rate: float, seconds: float, fault: Callable[[], Awaitable[None]]
    ) -> None:
        """Post for this many seconds, or until the fault ends. The fault begins after a second."""
        before, deepest = len(self.meter.answers), 0

        async def strike() -> None:
            await asyncio.sleep(1)
            await fault()

        striking = asyncio.create_task(strike())
        while True:
            posting = asyncio.create_task(self.meter.post_for(seconds, rate))
            while not (await asyncio.wait({posting}, timeout=0.5))[0]:
                deepest = max(deepest, await self.spooled())
            posting.result()
            if striking.done():
                break
        striking.result()
        answers = self.meter.answers[before:]
        took = sorted(took for _, took, _ in answers)
        self.phases.append(
            {
                "phase": name,
                "posts": len(answers),
                "statuses": dict(Counter(status for _, _, status in answers)),
                "p50_ms": round(1000 * took[len(took) // 2]),
                "max_ms": round(1000 * took[-1]),
                "spool_at_most": deepest,
            }
        )

    async def spooled(self) -> int:
        """Return how many leads the gateway has on its disk."""
        async with httpx.AsyncClient(timeout=5) as client:
            status = (await client.get(f"{self.services['ingest'].url}/internal/status")).json()
        return int(status["spool"]["depth"])

    async def in_sync(self) -> int:
        """Return how many brokers have the partition that the fewest have."""
        async with open_admin(self.kafka, "faults") as admin:
            names = [topic.name for topic in topics.ALL] + [OFFSETS_TOPIC]
            return min(len(nodes) for nodes in (await read_layout(admin, names, of="isr")).values())

    async def roll(self) -> None:
        """Restart each broker, the next one when the last has all records again."""
        for broker in self.brokers:
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            await eventually(self.is_whole, seconds=90, every=0.5, what="three replicas in sync")

    async def hang(self, broker: Broker, seconds: float) -> None:
        """Suspend a broker's process (SIGSTOP), and resume it after this many seconds."""
        os.kill(broker.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(broker.pid, signal.SIGCONT)

    async def is_whole(self) -> bool:
        """Return True once every broker has all records."""
        try:
            return await self.in_sync() == len(self.brokers)
        except (KafkaError, OSError, TimeoutError):  # one restarts
            return False

    async def open_work(self) -> dict[str, int]:
        """Return the numbers of unfinished leads, mails and failures."""
        stored = await self.database.fetchval("SELECT count(*) FROM lead_inbox")
        mails = await self.database.fetchval(
            "SELECT count(*) FROM email_delivery WHERE state IN ('sent', 'suppressed', 'unknown', 'dead')"
        )
        queue = await self.database.fetchval(
            "SELECT count(*) FROM replay_queue WHERE state IN ('waiting', 'replaying')"
        )
        if queue:  # waits for its time: what an admin would do
            headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            async with httpx.AsyncClient(timeout=10) as client:
                await client.post(f"{self.services['admin'].url}/admin/queue/flush", headers=headers)
        accepted = len(self.meter.ids)
        return {
            "spooled": await self.spooled(),
            "not stored": accepted - stored,
            "mails": 2 * accepted - mails,
            "queue": queue,
        }

    async def wait_until_idle(self) -> float:
        """Wait until nothing is to come any more; return after how many seconds."""
        began = time.monotonic()
        await eventually(
            self.open_work,
            until=lambda open_: not any(open_.values()),
            seconds=QUIET_SECONDS, every=0.5, what="quiet",
        )  # fmt: skip
        return round(time.monotonic() - began, 1)

    def ledger(self) -> str:
        """Run `python -m deploy.cli.ledger`; return why it does not balance, or nothing."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli.ledger"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stdout + done.stderr


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Cluster]:
    """Start all of it."""
    smtp = SmtpServer()
    with running_brokers(folder) as brokers, running_postgres(folder) as postgres:
        bootstrap = ",".join(broker.bootstrap_servers for broker in brokers)
        await migrate(postgres.urls.owner, postgres.urls.service)
        await provision(Kafka(bootstrap_servers=bootstrap), len(brokers))
        await smtp.start()
        environment = {
            **os.environ,
            "DEBUG": "false",
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "DATABASE_URL": postgres.urls.service,
            "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
            "FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN,
            "SMTP_HOST": smtp.host,
            "SMTP_PORT": str(smtp.port),
            "SMTP_TLS": "false",
            # All leads are of one site and hour.
            "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "1000000",
            "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # a mail for each lead
            "FROM_EMAIL": "leads@fastcore.example",
            "ADMIN_EMAIL": "admin@fastcore.example",
        }
        database = await asyncpg.connect(postgres.urls.owner)
        try:
            with processes(folder, environment, *SERVICES) as services:
                for service in services.values():
                    await service.ready(90)
                yield Cluster(brokers, services, environment, database, smtp, Meter(services["ingest"]))
        finally:
            await database.close()
            await smtp.stop()

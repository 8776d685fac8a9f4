"""The installation under test: real processes, with a proxy before each server. The faults are elsewhere."""

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import asyncpg
import httpx

from deploy.cli.migrate import migrate
from deploy.cli.topics import provision
from deploy.embedded.servers import postgres, standalone
from runtime.settings import Kafka
from tests.faults.injections import name_service, power_cut
from tests.faults.injections.poison_records import Poisoner
from tests.faults.injections.proxy import Proxy, own_port
from tests.faults.receiver import SECRET, Receiver
from tests.faults.servers import listen_behind_proxy, start_part
from tests.faults.violations import Violation
from tests.support.mail.smtp import SmtpServer
from tests.support.patience import patient
from tests.support.sealed_log import KEY
from tests.support.services.one_process import OneProcess, Role
from tests.support.services.processes import ServiceProcess
from tests.support.services.webhooks import VARIABLE, destination, write_sites
from tests.support.web.plain_http import plain_client

SITE_TOKEN = "site-token-of-the-fault-suite"
# The team of this site gets lists of its leads.
DIGEST_SITE, DIGEST_SITE_TOKEN = "studio", "site-token-of-a-site-with-digests"
ADMIN_TOKEN = "admin-token-of-the-fault-suite"
SERVICES = ("ingest", "persister", "notifier", "webhooks", "flusher", "admin")
_MAIL_NAME = re.compile(
    rb"^Message-ID:\s*<([0-9a-f-]{36})\.(welcome|admin_alert|alert_digest)@", re.MULTILINE | re.IGNORECASE
)

_LISTED = re.compile(r"/admin/leads/([0-9a-f-]{36})")

# Short timeouts that satisfy the drain inequality (mail < lease), so that a hung mail costs seconds.
TIMES = {
    "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "1000000",  # all leads of a round are of one site
    # At 40 leads a second, the alerts of the time after an outage are a burst.
    "FASTCORE_NOTIFIER_ALERT_BURST": "160",
    "FASTCORE_NOTIFIER_ALERT_BURST_SECONDS": "4",
    "FASTCORE_NOTIFIER_ADMIN_URL": "https://leads.example/admin",  # a digest links to its leads
    "FASTCORE_NOTIFIER_ENVELOPE_TIMEOUT_SECONDS": "4",
    "FASTCORE_NOTIFIER_ANSWER_TIMEOUT_SECONDS": "4",
    "FASTCORE_NOTIFIER_MAIL_TIMEOUT_SECONDS": "8",
    "FASTCORE_NOTIFIER_LEASE_SECONDS": "10",
    "FASTCORE_WEBHOOKS_TIMEOUT_SECONDS": "3",
    "FASTCORE_WEBHOOKS_RETRY_WAITS_SECONDS": ",".join(["1", "1", "2", "4", *["8"] * 16]),
}
DESTINATION = "crm"
# PostgreSQL notes the times of commits: the traces need the order of transactions.
TRACING = {"track_commit_timestamp": "on"}


class KafkaServer(Protocol):
    """A broker, or several of one cluster."""

    bootstrap_servers: str

    @property
    def alive(self) -> bool: ...

    @property
    def pid(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


class ArrivedMail(NamedTuple):
    """A mail that the server accepted, for one lead. A list of leads is one for each of its leads."""

    at: float  # seconds since 1970
    lead_id: str
    kind: str
    message_id: str


@dataclass
class Environment:
    """All servers, proxies and services. `log_event` adds to the timeline of the round."""

    folder: Path
    kafka: KafkaServer
    postgres: standalone.Postgres
    kafka_proxy: Proxy
    postgres_proxy: Proxy
    smtp_proxy: Proxy
    smtp: SmtpServer
    poison: Poisoner
    receiver: Receiver
    one_process: bool = False
    is_traced: bool = True  # its rounds record traces; PostgreSQL is started with `TRACING`
    replicas: int = 1  # of each topic
    services: dict[str, ServiceProcess | Role] = field(default_factory=dict)
    extras: list[ServiceProcess] = field(default_factory=list)
    mails: Counter[tuple[str, str]] = field(default_factory=Counter)  # (lead id, kind) -> mails accepted
    arrived: list[ArrivedMail] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)  # services that ended unexpectedly
    timeline: list[tuple[float, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    # Called with each new line of the timeline.
    on_event: Callable[[float, str], None] = lambda _at, _event: None
    # Intervals in which a 503 is correct: Kafka and the disk of the spool had failed. Monotonic.
    allowed_503: list[tuple[float, float]] = field(default_factory=list)
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @classmethod
    async def build(cls, folder: Path, *, one_process: bool = False, workers: int = 1) -> "Environment":
        """Return an installation that is not started, with a process for each service or for all."""
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        proxied_port, kafka_proxy_port = own_port(), own_port()
        kafka = await asyncio.to_thread(standalone.Kafka, folder, own_port())
        listen_behind_proxy(folder, proxied_port, kafka_proxy_port)
        database = await asyncio.to_thread(standalone.Postgres, folder, own_port(), TRACING)
        proxy = Proxy(proxied_port, kafka_proxy_port)
        environment = cls.assemble(folder, kafka, database, proxy, one_process=one_process)
        environment.prepare_services(workers)
        return environment

    @classmethod
    def assemble(
        cls,
        folder: Path,
        kafka: KafkaServer,
        database: standalone.Postgres,
        kafka_proxy: Proxy,
        **options: Any,
    ) -> Self:
        """Return an installation of these servers. `prepare_services` makes its services."""
        return cls(
            folder,
            kafka,
            database,
            kafka_proxy=kafka_proxy,
            postgres_proxy=Proxy(database.port),
            smtp_proxy=Proxy(0),
            smtp=SmtpServer(credentials=("fastcore", "right")),
            poison=Poisoner(kafka.bootstrap_servers),
            receiver=Receiver(folder),
            **options,
        )

    def prepare_services(self, workers: int = 1) -> None:
        """Make the services, and the files that they read. None is started."""
        name_service.write_address(self.names, self.receiver.host)
        events = ["lead.received", "lead.updated", "lead.status_changed"]
        crm = destination(DESTINATION, self.receiver.url, events=events, allow_private=False)
        with write_sites(self.folder, crm).open("a") as file:
            file.write(f'[sites.{DIGEST_SITE}]\nalert_frequency = "hourly"\n')
        if self.one_process:
            whole = self.whole_process()
            self.services = {name: Role(whole, name) for name in SERVICES}
        else:
            self.services = {name: self.service(name) for name in SERVICES}
        self.services["ingest"].environment |= power_cut.variables(self.folder)
        self.services["ingest"].environment["FASTCORE_INGEST_WORKERS"] = str(workers)
        self.services["admin"].environment |= {"FASTCORE_ADMIN_GATEWAY_URLS": self.services["ingest"].url}

    def service(self, name: str) -> ServiceProcess:
        """Return one more process of a service, not started."""
        made = ServiceProcess(name, self.variables, self.folder)
        made.port = own_port()
        made.url = f"http://127.0.0.1:{made.port}"
        made.environment["FASTCORE_HTTP_PORT"] = str(made.port)
        if name in ("webhooks", "admin", "notifier"):
            made.environment["FASTCORE_SITES_FILE"] = str(self.folder / "sites.toml")
        if name == "webhooks":
            self._use_receiver(made)
        return made

    def whole_process(self) -> OneProcess:
        """Return one process with all services, not started."""
        made = OneProcess(self.variables, self.folder, own_port)
        made.environment["FASTCORE_SITES_FILE"] = str(self.folder / "sites.toml")
        self._use_receiver(made)
        return made

    def _use_receiver(self, process: ServiceProcess) -> None:
        """Let the process deliver to the receiver, and look up its name in a file."""
        process.program = ("tests.faults.injections.name_service", process.roles)
        process.environment |= {
            VARIABLE: SECRET,
            name_service.VARIABLE: str(self.names),
            name_service.RECEIVER_VARIABLE: self.receiver.host,
            "SSL_CERT_FILE": str(self.receiver.authority),
        }

    @property
    def names(self) -> Path:
        """The file with the address of the receiver's name."""
        return self.folder / "names"

    @property
    def database_url(self) -> str:
        """The database's URL for the services."""
        proxy = self.postgres_proxy
        return self.postgres.urls.service.replace(
            f"@127.0.0.1:{self.postgres.port}/", f"@{proxy.host}:{proxy.port}/"
        )

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of Kafka for the services."""
        return f"{self.kafka_proxy.host}:{self.kafka_proxy.port}"

    @property
    def variables(self) -> dict[str, str]:
        return {
            "DEBUG": "false",
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "FASTCORE_SITE_INGEST_TOKEN": f"{SITE_TOKEN},{DIGEST_SITE}:{DIGEST_SITE_TOKEN}",
            "FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN,
            "FASTCORE_AUDIT_SIGNING_KEY": KEY.text(),  # only the flusher reads it
            "FASTCORE_INGEST_SPOOL_FOLDER": str(self.folder / "spool"),
            "SMTP_HOST": self.smtp_proxy.host,
            "SMTP_PORT": str(self.smtp_proxy.port),
            "SMTP_USER": "fastcore",
            "SMTP_PASSWORD": "right",
            "SMTP_TLS": "false",
            "FROM_EMAIL": "leads@fastcore.example",
            "ADMIN_EMAIL": "admin@fastcore.example",
            **TIMES,
        }

    async def start(self) -> None:
        """Start everything and wait until it is ready."""
        await self.start_servers()
        await self.smtp.start()
        await self.receiver.start()
        self.smtp_proxy.target_port = self.smtp.port
        for proxy in self.proxies:
            await proxy.start()
        for service in self.services.values():
            service.start()
        for service in self.services.values():
            await service.ready(90)

    async def start_servers(self) -> None:
        """Start Kafka and PostgreSQL, with the topics and the tables."""
        await asyncio.gather(asyncio.to_thread(self.kafka.start), asyncio.to_thread(self.postgres.start))
        await migrate(self.postgres.urls.owner, self.postgres.urls.service)
        await provision(Kafka(bootstrap_servers=self.kafka.bootstrap_servers), self.replicas)

    async def heal_servers(self) -> None:
        """Start or resume Kafka and PostgreSQL."""
        for part in (self.kafka, self.postgres):
            if part.alive:
                os.kill(part.pid, signal.SIGCONT)
            else:
                await start_part(part)

    async def stop_servers(self, *, keep: bool) -> None:
        """Stop Kafka and PostgreSQL, whatever their state. Their data stays if `keep` is true."""
        await asyncio.to_thread(self.kafka.stop)
        await asyncio.to_thread(self.postgres.stop)
        if not keep:
            postgres.remove(self.folder)

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        return self.kafka_proxy, self.postgres_proxy, self.smtp_proxy

    async def stop(self, *, keep: bool) -> None:
        """Stop everything, whatever its state."""
        for service in [*self.services.values(), *self.extras]:
            if service.process and service.process.poll() is None:
                service.kill()
        for proxy in self.proxies:
            await proxy.stop()
        await self.smtp.stop()
        await self.receiver.stop()
        await self.stop_servers(keep=keep)

    def cut_power_of_gateway(self) -> None:
        """Kill the gateway with `kill -9`, and truncate its files to the bytes that it had fsynced."""
        self.services["ingest"].kill()
        lost = power_cut.truncate_unsynced(self.folder, self.folder / "spool")
        self.log_event(f"power of ingest cut, {lost} bytes were not fsynced")

    def logged_errors(self) -> list[str]:
        """Return the lines that the services logged as errors, by service and in order."""
        lines = [line for log in sorted(self.folder.glob("*-*.log")) for line in log.read_text().splitlines()]
        return [line for line in lines if '"level": "error"' in line]

    def log_event(self, event: str) -> None:
        at = round(time.monotonic() - self.began, 1)
        self.timeline.append((at, event))
        self.on_event(at, event)

    @contextlib.asynccontextmanager
    async def exclusive(self, *parts: str) -> AsyncIterator[None]:
        """Prevent other faults from stopping or starting these parts, which could start a service twice."""
        async with contextlib.AsyncExitStack() as locks:
            for part in sorted({self._lock_of(part) for part in parts}):
                await locks.enter_async_context(self._locks[part])
            yield

    def _lock_of(self, part: str) -> str:
        return "services" if self.one_process and part in SERVICES else part

    @contextlib.contextmanager
    def allow_503(self) -> Iterator[None]:
        """Mark the time in which Kafka and the disk of the spool fail: only then is a 503 correct."""
        began = time.monotonic()
        self.allowed_503.append((began, float("inf")))
        try:
            yield
        finally:
            self.allowed_503.remove((began, float("inf")))
            self.allowed_503.append((began, time.monotonic()))

    async def heal(self) -> None:
        """Undo every fault and start what is dead."""
        for proxy in self.proxies:
            await proxy.heal()
        await self.receiver.heal()
        name_service.write_address(self.names, self.receiver.host)
        # Mailboxes that are greylisted stay so: on a loaded machine their emails come later than this.
        self.smtp.script = {k: v for k, v in self.smtp.script.items() if k.startswith("rcpt:")}
        self.smtp.always = {k: v for k, v in self.smtp.always.items() if k.startswith("rcpt:")}
        await self.heal_servers()
        for extra in self.extras:
            if extra.process and extra.process.poll() is None:
                extra.kill()
        self.extras.clear()
        await self.restart_dead()

    async def restart_dead(self) -> None:
        """Start each service that ended, as a supervisor does."""
        for name, service in self.services.items():
            assert service.process
            if service.process.poll() is not None:
                event = f"{name} ended unexpectedly ({service.process.returncode}), started again"
                self.log_event(event)
                self.restarts.append(event)
                service.start()

    async def count_more_pending(self) -> dict[str, Any]:
        """Return what else is pending in an installation of another kind; start its jobs as an admin."""
        return {}

    def is_explained(self, _violation: Violation) -> bool:
        """Return True for what is no violation in an installation of another kind."""
        return False

    async def find_more_violations(self) -> list[Violation]:
        """Return what else is wrong in an installation of another kind, once it is idle."""
        return []

    async def spooled(self) -> int | None:
        """Return the number of leads in the spool, or None if the gateway does not answer."""
        with contextlib.suppress(httpx.HTTPError, KeyError):
            async with plain_client(timeout=5) as client:
                status = (await client.get(f"{self.services['ingest'].url}/internal/status")).json()
                return int(status["spool"]["depth"])
        return None

    async def make_digests_due(self) -> None:
        """Have the collected leads listed now, as if the hour was over."""
        await self.sql("UPDATE collected_alert SET due_at = now() WHERE digest_id IS NULL AND due_at > now()")

    async def repeat_digests(self) -> None:
        """Have the digests sent again now that wait for their next attempt."""
        await self.sql("UPDATE alert_digest SET next_attempt_at = now() WHERE ended_at IS NULL")

    async def flush(self) -> None:
        """Flush the replay queue as an admin."""
        await self._post_as_admin("queue/flush")

    async def retry_deliveries(self) -> None:
        """End a pause of the destination, and retry its failed deliveries, as an admin."""
        await self._post_as_admin(f"destinations/{DESTINATION}/enable")
        await self._post_as_admin(f"destinations/{DESTINATION}/retry")

    async def _post_as_admin(self, path: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            async with plain_client(timeout=5) as client:
                await client.post(
                    f"{self.services['admin'].url}/admin/{path}",
                    headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
                )

    async def sql(self, statement: str, *args: Any) -> list[Any]:
        """Query the database as superuser, without the proxy."""
        url = self.postgres.urls.superuser
        connection = await asyncpg.connect(url, timeout=patient(10), command_timeout=patient(20))
        try:
            return list(await connection.fetch(statement, *args))
        finally:
            connection.terminate()  # a server that hangs would delay a graceful close

    def collect_mails(self) -> None:
        """Count every mail that the server accepted, including those without a reply. Call it when idle."""
        for received in [*self.smtp.mails, *self.smtp.lost]:
            found = _MAIL_NAME.search(received.content)
            if found is None:
                self.mails["unnamed", "unnamed"] += 1
            elif found[2] == b"alert_digest":
                for lead_id in _LISTED.findall(received.text()):
                    self._note_mail(received.at, lead_id, "admin_alert", found[1].decode())
            else:
                self._note_mail(received.at, found[1].decode(), found[2].decode(), found[1].decode())
        self.smtp.mails.clear()
        self.smtp.lost.clear()

    def _note_mail(self, at: float, lead_id: str, kind: str, message_id: str) -> None:
        self.mails[lead_id, kind] += 1
        self.arrived.append(ArrivedMail(at, lead_id, kind, message_id))


# A fault breaks something in an environment, with its own random generator, and repairs it.
Action = Callable[[Environment, random.Random], Awaitable[None]]

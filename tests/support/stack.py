"""The real servers of integration and end-to-end tests: one Kafka, one PostgreSQL for each worker.

Given servers (KAFKA_BOOTSTRAP_SERVERS, and FASTCORE_MIGRATION_DATABASE_URL as a role that may create
databases) are used where the variables say so; else containers where a Docker engine answers; else the
embedded parts. FASTCORE_TEST_PARTS=containers or embedded forces one.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from contracts import topics
from deploy.cli.migrate import migrate
from deploy.cli.topics import provision
from deploy.embedded.servers.postgres import DatabaseUrls
from deploy.embedded.servers.standalone import running_kafka, running_postgres
from runtime.settings import Kafka
from tests.support import containers
from tests.support.locks import one_at_a_time

T = TypeVar("T")

# The workers of pytest-xdist share a given server, and each makes a template of its own there.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
TEMPLATE = f"fastcore_test_template_{_WORKER}"


@dataclass(frozen=True)
class Database:
    """One database of a test's own. `owner` and `service` are URLs of the two roles."""

    owner: str
    service: str


@dataclass(frozen=True)
class Stack:
    """Where Kafka and PostgreSQL are. Databases and topics are made per test."""

    bootstrap_servers: str
    admin_url: str  # may create databases
    owner_url: str
    service_url: str
    parts: str  # what they are, for the report

    @property
    def is_embedded(self) -> bool:
        """True if both servers are child processes of this one."""
        return self.parts == "Kafka: embedded; PostgreSQL: embedded"

    async def new_database(self, template: str = TEMPLATE) -> Database:
        """Clone the migrated template: about 50 ms. The template0 of PostgreSQL makes an empty database."""
        name = f"test_{uuid4().hex}"
        connection = await asyncpg.connect(self.admin_url)
        try:
            owner = urlsplit(self.owner_url).username
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {template} OWNER "{owner}"')
            # A clone does not inherit the rights on the database that deploy.cli.migrate revokes.
            await connection.execute(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
        finally:
            await connection.close()
        return Database(_on(self.owner_url, name), _on(self.service_url, name))

    def admin_url_of(self, database: Database) -> str:
        """Return the URL of a database with the rights of a superuser."""
        return _on(self.admin_url, urlsplit(database.owner).path.removeprefix("/"))

    async def drop_database(self, database: Database) -> None:
        name = urlsplit(database.owner).path[1:]
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def database_unavailable(self, database: Database) -> AsyncIterator[None]:
        """Make the database unavailable to the services' role while the block lasts."""
        name, role = urlsplit(database.owner).path[1:], urlsplit(self.service_url).username
        connection = await asyncpg.connect(_on(self.admin_url, name))
        try:
            await connection.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = $1",
                role,
            )
            yield
        finally:
            await connection.execute(f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC')
            await connection.close()

    async def new_topics(self) -> Kafka:
        """Create all the topics under a prefix of the test's own."""
        kafka = Kafka(bootstrap_servers=self.bootstrap_servers, topic_prefix=f"t{uuid4().hex[:8]}.")
        await provision(kafka)
        return kafka

    async def drop_topics(self, kafka: Kafka) -> None:
        """Delete the topics of a test; those of all tests would fill the memory of the broker."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=20_000)
        await admin.start()
        try:
            await admin.delete_topics([kafka.topic_prefix + topic.name for topic in topics.ALL])
        finally:
            await admin.close()


def _on(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _make_template(admin_url: str, owner_url: str, service_url: str) -> None:
    """Create the database that tests clone, with all migrations applied."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        await connection.execute(f'CREATE DATABASE {TEMPLATE} OWNER "{urlsplit(owner_url).username}"')
    finally:
        await connection.close()
    await migrate(_on(owner_url, TEMPLATE), _on(service_url, TEMPLATE))


def forced() -> str | None:
    """Return the servers that FASTCORE_TEST_PARTS requires, or None."""
    choice = os.environ.get("FASTCORE_TEST_PARTS") or None
    if choice not in (None, "containers", "embedded"):
        raise ValueError(f"FASTCORE_TEST_PARTS is {choice!r}: say containers or embedded, or unset it")
    return choice


def containers_required() -> bool:
    """Return True if servers without a URL are to run in containers."""
    return forced() == "containers" or (forced() is None and containers.engine() is not None)


def _start(
    stack: contextlib.ExitStack,
    container: Callable[[], contextlib.AbstractContextManager[T]],
    image: str,
    embedded: Callable[[], T],
) -> tuple[T, str]:
    """Start a container if required and possible, else the embedded server; return it with its name."""
    name = "embedded"
    if containers_required():
        try:
            return stack.enter_context(container()), f"container {image}"
        except containers.NoContainerError as why:
            if forced():
                raise
            name = f"embedded (no container: {why})"
    return embedded(), name


def _kafka(stack: contextlib.ExitStack, folder: Path) -> tuple[str, str]:
    """Return the bootstrap servers and their kind."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return given, "given"

    def embedded() -> str:
        return stack.enter_context(running_kafka(folder)).bootstrap_servers

    return _start(stack, containers.running_kafka, containers.KAFKA_IMAGE, embedded)


def _postgres(stack: contextlib.ExitStack, folder: Path, *, fsync: bool) -> tuple[DatabaseUrls, str]:
    """Return the URLs of the roles and the kind of the server."""
    # A bench measures the time until a transaction is committed.
    settings = {"track_commit_timestamp": "on"} if fsync else containers.POSTGRES_SETTINGS
    owner = os.environ.get("FASTCORE_MIGRATION_DATABASE_URL")
    service = os.environ.get("DATABASE_URL")
    if owner and service:
        return DatabaseUrls(owner, owner, service), "given"

    def embedded() -> DatabaseUrls:
        return stack.enter_context(running_postgres(folder, settings=settings)).urls

    return _start(stack, containers.running_postgres, containers.POSTGRES_IMAGE, embedded)


@contextlib.contextmanager
def running_stack(folder: Path, *, fsync: bool = False) -> Iterator[Stack]:
    """Start the servers without a URL, prepare the template, and stop what was started.

    Without `fsync`, PostgreSQL does not wait for the disk, which is faster. A container never waits.
    """
    with contextlib.ExitStack() as stack:
        bootstrap, kafka = _kafka(stack, folder)
        urls, postgres = _postgres(stack, folder, fsync=fsync)
        # Migrating changes the roles, which are the server's: not two workers at once.
        with one_at_a_time("template"):
            asyncio.run(_make_template(urls.superuser, urls.owner, urls.service))
        parts = f"Kafka: {kafka}; PostgreSQL: {postgres}"
        yield Stack(bootstrap, urls.superuser, urls.owner, urls.service, parts)

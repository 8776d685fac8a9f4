"""Kafka and PostgreSQL as containers, where a Docker engine answers; what tests do with them is not here.

Each test session has its own, on ports of this machine's loopback, and ends them itself.
"""

import asyncio
import contextlib
import gc
import os
import warnings
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import asyncpg
import docker
from docker.errors import DockerException
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.servers import kafka, postgres
from deploy.embedded.servers.postgres import DatabaseUrls
from deploy.embedded.servers.standalone import free_ports

KAFKA_IMAGE = os.environ.get("KAFKA_IMAGE") or "apache/kafka:4.4.0"
POSTGRES_IMAGE = os.environ.get("POSTGRES_IMAGE") or "postgres:15"
# Almost every test clones a database. The data need not survive a power loss, and is in memory: on a disk, a
# clone took three to ten times as long (0.1 to 0.4 s), because ext4 avoids the inodes of files that were just
# deleted.
POSTGRES_SETTINGS = {"fsync": "off", "full_page_writes": "off"}
_POSTGRES_DATA = "/pgdata"

_ENGINE_SECONDS = 5
_READY_SECONDS = 60
_PASSWORD = "for-one-test-session"


class NoContainerError(Exception):
    """No container is available: use the embedded server."""


@dataclass(frozen=True)
class Engine:
    """A reachable Docker engine."""

    version: str


@cache
def engine() -> Engine | None:
    """Return the engine, or None; looked up once per session with a timeout."""
    client = None
    with warnings.catch_warnings():
        # docker drops its socket unclosed where no engine listens. The warning would fail a later test.
        warnings.simplefilter("ignore", ResourceWarning)
        with contextlib.suppress(DockerException):
            client = docker.from_env(timeout=_ENGINE_SECONDS)
        gc.collect()
    if client is None:
        return None
    try:
        return Engine(str(client.version()["Version"]))
    except (DockerException, RequestException):
        return None
    finally:
        client.close()


@contextlib.contextmanager
def _running(
    image: str, port: int, environment: dict[str, str], command: list[str], in_memory: str | None = None
) -> Iterator[None]:
    """Run a container with one port of the same number on loopback; pull its image where it is not here.

    `in_memory` is a folder of the container that is not on a disk.
    """
    try:
        container = DockerContainer(image).with_envs(**environment)
    except (DockerException, RequestException) as error:
        raise NoContainerError(f"{image}: {type(error).__name__}") from error
    if command:
        container.with_command(command)
    if in_memory:
        container.with_tmpfs_mount(in_memory)
    container.ports[f"{port}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment] # docker takes a pair
    try:
        try:
            container.start()
        except (DockerException, RequestException, TimeoutError) as error:
            raise NoContainerError(f"{image}: {type(error).__name__}") from error
        yield
    finally:
        container.stop()


@contextlib.contextmanager
def running_kafka() -> Iterator[str]:
    """Run a broker of one KRaft node, and return its address."""
    port, controller = free_ports(2)
    environment = {
        "CLUSTER_ID": "ZmFzdGNvcmUtZm9yLXRlc3Q",
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{controller}",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:{controller}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "5",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "5",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_HEAP_OPTS": "-Xms64m -Xmx768m",
    }
    address = f"127.0.0.1:{port}"
    with _running(KAFKA_IMAGE, port, environment, []):
        _wait(kafka.wait_ready(address, _READY_SECONDS), KAFKA_IMAGE)
        yield address


@contextlib.contextmanager
def running_postgres() -> Iterator[DatabaseUrls]:
    """Run a server with the roles and the empty database of an installation."""
    (port,) = free_ports(1)
    settings = [f"-c{name}={value}" for name, value in POSTGRES_SETTINGS.items()]
    command = ["postgres", "-p", str(port), "-cmax_connections=200", *settings]

    def url(role: str, database: str) -> str:
        return f"postgresql://{role}:{_PASSWORD}@127.0.0.1:{port}/{database}"

    async def create_roles() -> None:
        await postgres.wait_ready(url("postgres", "postgres"), _READY_SECONDS)
        connection = await asyncpg.connect(url("postgres", "postgres"))
        try:
            for role in ("fastcore_owner", "fastcore"):
                await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{_PASSWORD}'")
            await connection.execute("CREATE DATABASE fastcore OWNER fastcore_owner")
        finally:
            await connection.close()

    environment = {"POSTGRES_PASSWORD": _PASSWORD, "PGDATA": _POSTGRES_DATA}
    with _running(POSTGRES_IMAGE, port, environment, command, in_memory=_POSTGRES_DATA):
        _wait(create_roles(), POSTGRES_IMAGE)
        yield DatabaseUrls(*(url(role, "fastcore") for role in ("postgres", "fastcore_owner", "fastcore")))


def _wait(ready: Coroutine[Any, Any, None], image: str) -> None:
    try:
        asyncio.run(ready)
    except EmbeddedError as error:
        raise NoContainerError(f"{image} did not answer within {_READY_SECONDS} s") from error

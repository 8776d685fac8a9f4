"""Hookdeck's Outpost: the publish endpoint with which the gateway is compared, where its programs are given.

It runs as its documentation recommends, with Redis (append-only file) and RabbitMQ (quorum queues), and only
as `api`, as the gateway runs without its consumers. docs/performance.md says how to build it, and what it
does for a request.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from deploy.embedded.servers.standalone import free_ports
from tests.bench.environment import TOKEN, BenchEnvironment
from tests.bench.inputs.load import accepted_a_second
from tests.bench.measure import Run
from tests.support.stack import Database
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TENANT: Final = "a-studio"
TOPIC: Final = "lead.received"
START_SECONDS: Final = 60
WARM_SECONDS: Final = 1
# RabbitMQ and Redis take 2 % of a core without load.
IDLE_SHARE: Final = 0.1
IDLE_SECONDS: Final = 0.5
NAME: Final = "Outpost's publish endpoint, with Redis and RabbitMQ"
# Debian's command of this name starts the server as another user; this script starts it as the caller.
RABBITMQ: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
PROGRAMS: Final = ("outpost", "outpost-server")
SERVERS: Final = ("redis-server", "epmd")


def missing(folder: Path) -> list[str]:
    """Return what is needed to run Outpost from this folder, and is not there."""
    programs = [str(folder / name) for name in PROGRAMS if not os.access(folder / name, os.X_OK)]
    servers = [name for name in SERVERS if shutil.which(name) is None]
    return programs + servers + ([] if shutil.which(_rabbitmq()) else ["rabbitmq-server"])


@contextlib.asynccontextmanager
async def publishing(bench: BenchEnvironment, programs: Path) -> AsyncIterator[Run]:
    """Run Outpost's API with its servers while the block lasts. Yields what measures the events a second.

    A tenant has a destination, so that each event is queued for a delivery.
    """
    folder = bench.folder / "outpost"
    folder.mkdir()
    redis, amqp, names, distribution, api = free_ports(5)
    database = await bench.stack.new_database()
    variables = _variables(redis, amqp, api, database)
    async with contextlib.AsyncExitStack() as running:
        servers = [
            running.enter_context(_process(command, environment, folder))
            for command, environment in (
                (_redis_command(redis, folder), {}),
                (("epmd", "-port", str(names)), {}),
                ((_rabbitmq(),), _rabbitmq_variables(folder, amqp, names, distribution)),
            )
        ]
        for port in (redis, amqp):
            await _listening(port, folder)
        await _migrate(programs, variables, folder)
        running.enter_context(_process((str(programs / "outpost-server"),), variables, folder))
        url = f"http://127.0.0.1:{api}"
        await _listening(api, folder)
        await _add_destination(url)

        async def published_a_second(seconds: int) -> float:
            rate = await accepted_a_second(url, seconds, TENANT, TOPIC)
            await _idle(servers)
            return rate

        await published_a_second(WARM_SECONDS)
        yield lambda: published_a_second(bench.rate_seconds)
    await bench.stack.drop_database(database)


async def _idle(servers: Sequence[psutil.Process]) -> None:
    """Wait until the servers have written what they accepted: the next contender has the processors then."""

    def used() -> float:
        every = [each for server in servers for each in (server, *server.children(recursive=True))]
        return sum(sum(each.cpu_times()[:2]) for each in every)

    async def share() -> float:
        before = used()
        await asyncio.sleep(IDLE_SECONDS)
        return (used() - before) / IDLE_SECONDS

    await eventually(
        share, until=lambda found: found < IDLE_SHARE, seconds=START_SECONDS, what="Outpost's servers idle"
    )


def _rabbitmq() -> str:
    return RABBITMQ if Path(RABBITMQ).exists() else "rabbitmq-server"


def _redis_command(port: int, folder: Path) -> tuple[str, ...]:
    return (
        "redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder),
        "--appendonly", "yes", "--save", "",
    )  # fmt: skip


def _rabbitmq_variables(folder: Path, port: int, names: int, distribution: int) -> dict[str, str]:
    return {
        "HOME": str(folder),  # the cookie
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": "outpost@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "rabbitmq"),
        "RABBITMQ_LOG_BASE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
    }


def _variables(redis: int, amqp: int, api: int, database: Database) -> dict[str, str]:
    return {
        "SERVICE": "api",
        "API_PORT": str(api),
        "API_KEY": TOKEN,
        "API_JWT_SECRET": TOKEN,
        "AES_ENCRYPTION_SECRET": TOKEN[:16],
        "TOPICS": TOPIC,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis),
        "REDIS_PASSWORD": "",
        "RABBITMQ_SERVER_URL": f"amqp://guest:guest@127.0.0.1:{amqp}",
        "POSTGRES_URL": f"{database.owner}?sslmode=disable",
        "LOG_LEVEL": "warn",  # as the other contenders
        "DISABLE_TELEMETRY": "true",
    }


@contextlib.contextmanager
def _process(
    command: tuple[str, ...], environment: Mapping[str, str], folder: Path
) -> Iterator[psutil.Process]:
    """Run a program in a session of its own, which is killed at the end."""
    with (folder / "outpost.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _listening(port: int, folder: Path) -> None:
    async def probe() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    try:
        await eventually(probe, seconds=START_SECONDS, what=f"a server on port {port}")
    except AssertionError as missed:
        missed.add_note((folder / "outpost.log").read_text()[-2000:])
        raise


async def _migrate(programs: Path, variables: Mapping[str, str], folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        str(programs / "outpost"), "migrate", "apply", "--yes", cwd=folder, env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(START_SECONDS):
        out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"outpost migrate ended with {process.returncode}: {out.decode()[-2000:]}")


async def _add_destination(url: str) -> None:
    """Create a tenant with a destination, and check that an event is queued for it."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with plain_client() as client:

        async def send(method: str, path: str, body: Mapping[str, Any]) -> Any:
            answer = await client.request(method, f"{url}/api/v1{path}", json=body, headers=headers)
            if answer.is_error:
                raise RuntimeError(f"Outpost answered {answer.status_code} to {path}: {answer.text}")
            return answer.json()

        await send("PUT", f"/tenants/{TENANT}", {})
        made = await send(
            "POST",
            f"/tenants/{TENANT}/destinations",
            {"type": "webhook", "topics": [TOPIC], "config": {"url": "http://127.0.0.1:9/"}},
        )
        event = {"id": "first", "tenant_id": TENANT, "topic": TOPIC, "data": {"name": "Ada"}}
        queued = await send("POST", "/publish", event)
    if queued["destination_ids"] != [made["id"]]:
        raise RuntimeError(f"Outpost queued nothing: {queued}")

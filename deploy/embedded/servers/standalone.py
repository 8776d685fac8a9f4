"""Single servers for tests: Kafka, PostgreSQL or a mailbox, in a folder and on free ports.

    with running_kafka(folder) as kafka, running_postgres(folder) as postgres:
        kafka.bootstrap_servers, postgres.urls.owner, postgres.urls.service

The functions are synchronous, because a session fixture calls them outside any event loop.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.embedded.mailbox import smtp
from deploy.embedded.processes import programs
from deploy.embedded.processes.launch import OWNER_VARIABLE, Launch
from deploy.embedded.processes.readiness import Alive
from deploy.embedded.servers import kafka, postgres
from deploy.embedded.settings import ROOT

# Below the ports that Linux gives to outgoing connections (net.ipv4.ip_local_port_range): another test's
# connection could take such a port before the server listens on it.
PORTS = range(20_000, 32_768)
WaitReady = Callable[[Alive], Awaitable[None]]


def free_ports(count: int) -> list[int]:
    """Return `count` different ports on which nothing listens. Raises `StopIteration` if too few are free."""
    candidates = (port for port in random.sample(PORTS, len(PORTS)) if _can_bind(port))
    return [next(candidates) for _ in range(count)]


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server:
    """One server that a test starts, breaks and stops."""

    def __init__(self, launch: Launch, data_dir: Path, wait_ready: WaitReady) -> None:
        self.launch = launch
        self.log = data_dir / f"{launch.name}.log"
        self._owner = str(data_dir)
        self._wait_ready = wait_ready
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The process id, for signals such as SIGSTOP. Raises `RuntimeError` before the first start."""
        if self.process is None:
            raise RuntimeError(f"{self.launch.name} is not started")
        return self.process.pid

    def start(self) -> None:
        """Start the server, and wait until it is ready. Can be called again after `kill`.

        If the server does not become ready, stops it and raises `EmbeddedError`.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.launch.folder or ROOT,
                env={**os.environ, **self.launch.environment, OWNER_VARIABLE: self._owner},
                user=self.launch.user,
                extra_groups=[] if self.launch.user else None,
                start_new_session=True,  # a Ctrl-C that ends the tests must not reach it
            )

        async def ready() -> None:
            await self._wait_ready(lambda: self.alive)

        # In a thread, so that this also works inside a running event loop.
        try:
            with ThreadPoolExecutor(max_workers=1) as pool:
                pool.submit(asyncio.run, ready()).result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server. If it still runs after its launch's `stop_timeout_seconds`, kill it."""
        if self.process is None:
            return
        if self.alive:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(self.launch.stop_signal)
        try:
            self.process.wait(self.launch.stop_timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server and its child processes with SIGKILL."""
        if self.process is not None and self.alive:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Kafka(Server):
    """A Kafka broker. `options` are passed to `kafka.prepare`."""

    def __init__(
        self, data_dir: Path, port: int | None = None, controller_port: int | None = None, **options: Any
    ) -> None:
        ports = free_ports(2)
        self.port = port or ports[0]
        self.bootstrap_servers = f"127.0.0.1:{self.port}"
        super().__init__(
            kafka.prepare(data_dir, self.port, controller_port or ports[1], **options),
            data_dir,
            lambda alive: kafka.wait_ready(self.bootstrap_servers, alive=alive),
        )


class Postgres(Server):
    """A PostgreSQL server with the roles and the empty database of an installation.

    `settings` are passed to `postgres.prepare`.
    """

    def __init__(
        self, data_dir: Path, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_ports(1)[0]
        launch = postgres.prepare(data_dir, self.port, settings=settings)
        self.urls = postgres.database_urls(data_dir, self.port)
        super().__init__(launch, data_dir, lambda alive: postgres.wait_ready(self.urls.service, alive=alive))


class Mailbox(Server):
    """A mailbox. `url` is the address of its web server, which also serves `/api/messages`."""

    def __init__(self, data_dir: Path) -> None:
        self.smtp_port, self.http_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.http_port}"
        super().__init__(
            programs.mailbox(data_dir, self.smtp_port, self.http_port),
            data_dir,
            lambda alive: smtp.wait_ready(self.smtp_port, alive=alive),
        )


@contextmanager
def running_kafka(data_dir: Path, port: int | None = None) -> Iterator[Kafka]:
    """Run a broker during the block. The data stays in the folder."""
    server = Kafka(data_dir, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def running_postgres(
    data_dir: Path,
    port: int | None = None,
    *,
    keep: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Postgres]:
    """Run a server during the block. Deletes the server's data at the end, unless `keep` is true.

    `settings` are passed to `postgres.prepare`.
    """
    server = Postgres(data_dir, port, settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        if not keep:
            postgres.remove(data_dir)


@contextmanager
def running_mailbox(data_dir: Path) -> Iterator[Mailbox]:
    """Run a mailbox during the block. The emails stay in the folder."""
    server = Mailbox(data_dir)
    try:
        server.start()
        yield server
    finally:
        server.stop()

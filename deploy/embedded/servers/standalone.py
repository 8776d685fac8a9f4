"""Single parts of the stack for tests: real Kafka, PostgreSQL or mailbox in a folder, on free ports.

    with running_kafka(folder) as kafka, running_postgres(folder) as postgres:
        kafka.bootstrap_servers, postgres.urls.owner, postgres.urls.service

Synchronous on purpose: a session fixture starts them outside any event loop.
"""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deploy.embedded.mailbox import sink
from deploy.embedded.processes import programs
from deploy.embedded.processes.launch import OWNER_VARIABLE, Launch
from deploy.embedded.processes.readiness import Alive
from deploy.embedded.servers import kafka, postgres
from deploy.embedded.settings import ROOT

Ready = Callable[[Alive], Awaitable[None]]


def free_ports(count: int) -> list[int]:
    """Answer ports that nothing listens on; held together while asked for, so that none comes twice."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Part:
    """One program that a test starts, breaks and stops."""

    def __init__(self, launch: Launch, data_dir: Path, ready: Ready) -> None:
        self.launch = launch
        self.log = data_dir / f"{launch.name}.log"
        self._owner = str(data_dir)
        self._ready = ready
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Say whether the process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Name the process, for signals such as SIGSTOP."""
        if self.process is None:
            raise RuntimeError(f"{self.launch.name} is not started")
        return self.process.pid

    def start(self) -> None:
        """Start the program and wait until it answers; also after `kill`."""
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
                start_new_session=True,  # a Ctrl-C for the tests is not for it
            )

        async def ready() -> None:
            await self._ready(lambda: self.alive)

        # In a thread of its own, so that this works under a running event loop too.
        try:
            with ThreadPoolExecutor(max_workers=1) as pool:
                pool.submit(asyncio.run, ready()).result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it in order within its time, or by force."""
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
        """Kill it (-9) with what it forked, as a power cut of this one program."""
        if self.process is not None and self.alive:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Kafka(Part):
    """A broker of its own; `options` are those of `kafka.prepare`."""

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


class Postgres(Part):
    """A server of its own, with the roles and the empty database of an installation."""

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        self.port = port or free_ports(1)[0]
        launch = postgres.prepare(data_dir, self.port)
        self.urls = postgres.urls(data_dir, self.port)
        super().__init__(launch, data_dir, lambda alive: postgres.wait_ready(self.urls.service, alive=alive))


class Mailbox(Part):
    """A mail sink of its own; `url` answers `/api/messages`."""

    def __init__(self, data_dir: Path) -> None:
        self.smtp_port, self.http_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.http_port}"
        super().__init__(
            programs.mailbox(data_dir, self.smtp_port, self.http_port),
            data_dir,
            lambda alive: sink.wait_ready(self.smtp_port, alive=alive),
        )


@contextmanager
def running_kafka(data_dir: Path, port: int | None = None) -> Iterator[Kafka]:
    """Run a broker under the folder while the block lasts; the folder keeps its data."""
    part = Kafka(data_dir, port)
    try:
        part.start()
        yield part
    finally:
        part.stop()


@contextmanager
def running_postgres(data_dir: Path, port: int | None = None, *, keep: bool = False) -> Iterator[Postgres]:
    """Run a server while the block lasts. Its data goes at the end unless kept (root has it elsewhere)."""
    part = Postgres(data_dir, port)
    try:
        part.start()
        yield part
    finally:
        part.stop()
        if not keep:
            postgres.remove(data_dir)


@contextmanager
def running_mailbox(data_dir: Path) -> Iterator[Mailbox]:
    """Run a mail sink while the block lasts; the folder keeps its mails."""
    part = Mailbox(data_dir)
    try:
        part.start()
        yield part
    finally:
        part.stop()

"""Services as real processes: start, wait until ready, stop, kill."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil

from deploy.embedded.servers.standalone import free_ports
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

ROOT = Path(__file__).parents[3]


class ServiceProcess:
    """One `python -m services NAME` on a free port; its log is beside the test's files."""

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path, code: Path = ROOT) -> None:
        self.name = name
        self.code = code  # the checkout whose version runs
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}-{self.port}.log"
        self.environment = {
            **os.environ,
            "FASTCORE_INGEST_SPOOL_FOLDER": str(folder / "spool"),
            **environment,
            "FASTCORE_HTTP_HOST": "127.0.0.1",
            "FASTCORE_HTTP_PORT": str(self.port),
        }
        self.roles = name  # the argument of `python -m services`
        self.program: tuple[str, ...] = ("services", self.roles)  # arguments of `python -m`
        self.prefix: tuple[str, ...] = ()  # words before the command, which replace themselves by it
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", *self.program],
                cwd=self.code,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    async def ready(self, seconds: float = 30) -> None:
        """Wait for `/readyz` to answer 200."""
        await self.answers_ready(self.url, seconds)

    async def answers_ready(self, url: str, seconds: float) -> None:
        """Wait for `/readyz` of this URL to answer 200."""

        async def probe() -> str:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended: {self.log.read_text()[-2000:]}"
            async with plain_client() as client:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(f"{url}/readyz", timeout=2)
                    return "ready" if answer.status_code == 200 else answer.text
            return "no answer"

        await eventually(
            probe, until=lambda said: said == "ready", seconds=seconds, what=f"{self.name} ready on {url}"
        )

    def kill(self) -> None:
        """Kill it and its workers with `kill -9`, like a crash of the machine."""
        assert self.process is not None
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
                worker.wait(10)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that a gateway with several workers has started. Others have none."""
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    async def stop(self, seconds: float = 55) -> int:
        """Send SIGTERM and return the exit code; fail if the drain is too slow."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, seconds)


@contextlib.contextmanager
def processes(
    folder: Path, environment: Mapping[str, str], *names: str, code: Path = ROOT
) -> Iterator[dict[str, ServiceProcess]]:
    """Start services at once, and kill those still running at the end."""
    started = {name: ServiceProcess(name, environment, folder, code) for name in names}
    try:
        for service in started.values():
            service.start()
        yield started
    finally:
        for service in started.values():
            if service.process and service.process.poll() is None:
                service.kill()

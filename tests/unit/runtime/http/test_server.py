"""Several services in one process start together, stop together, and know which service they are."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from deploy.embedded.servers.standalone import free_ports
from tests.support.services.processes import ROOT
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from fastapi import FastAPI
from runtime.current_service import current_service
from runtime.http.server import Service, serve_all

@asynccontextmanager
async def logged(name):
    print("open", name, current_service(), flush=True)
    try:
        yield
    finally:
        print("close", name, current_service(), flush=True)

def create(name, fails):
    @asynccontextmanager
    async def lifespan(app):
        async with logged(name):
            if fails:
                raise RuntimeError
            yield
    app = FastAPI(lifespan=lifespan)
    @app.get("/")
    async def answer(seconds: float = 0):
        await asyncio.sleep(seconds)
        return current_service()
    return app

ports, failing = [int(port) for port in sys.argv[1:3]], sys.argv[3]
names = ["first", "second"]
services = [Service(n, lambda n=n: create(n, n == failing), p) for n, p in zip(names, ports)]
serve_all(services, logged("shared"))
"""


class Program:
    """A process with two services, `first` and `second`."""

    def __init__(self, folder: Path, ports: list[int], failing: str) -> None:
        self.ports, self._output = ports, folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *map(str, self.ports), failing],
                cwd=ROOT,
                env={**os.environ, "FASTCORE_HTTP_PORT": "", "FASTCORE_HTTP_PORTS": ""},
                stdout=output,
            )

    @property
    def lines(self) -> list[str]:
        return self._output.read_text().splitlines()

    async def get(self, number: int, path: str = "/") -> str:
        """Return the response of a service, or an empty text if it does not answer."""
        with contextlib.suppress(httpx.TransportError):
            async with plain_client() as client:
                return str((await client.get(f"http://127.0.0.1:{self.ports[number]}{path}")).json())
        return ""

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, 30)


@contextlib.contextmanager
def running(folder: Path, *, ports: list[int] | None = None, failing: str = "") -> Iterator[Program]:
    program = Program(folder, ports or free_ports(2), failing)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.wait()


async def test_services_know_their_name_and_stop_together(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        for number, name in enumerate(("first", "second")):
            assert await eventually(lambda n=number: program.get(n)) == name  # type: ignore[misc]
        slow = asyncio.create_task(program.get(1, "/?seconds=0.5"))
        await asyncio.sleep(0.2)
        program.process.send_signal(signal.SIGTERM)
        assert await slow == "second"  # a request in progress is finished
        assert await program.exit_code() == -signal.SIGTERM
        assert program.lines[0] == "open shared "
        assert sorted(program.lines[1:3]) == ["open first first", "open second second"]
        assert sorted(program.lines[3:5]) == ["close first first", "close second second"]
        assert program.lines[5:] == ["close shared "]  # after both


async def test_a_service_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    with running(tmp_path, failing="second") as program:
        assert await program.exit_code() == 3
        assert {"close first first", "close second second"} <= {*program.lines}
        assert program.lines[-1] == "close shared "


async def test_a_port_in_use_stops_all_services(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        ports = [*free_ports(1), occupied.getsockname()[1]]
        with running(tmp_path, ports=ports) as program:
            assert await program.exit_code() == 3
            assert program.lines[-1] == "close shared "

"""All six services in one process: `FASTCORE_ROLES=all python -m services`."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil

from deploy.embedded.servers.standalone import free_ports
from services.roles import PORTS
from tests.support.services.installation import ADMIN_TOKEN, INGEST_TOKEN
from tests.support.services.processes import ServiceProcess
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client


class OneProcess(ServiceProcess):
    """One process with all services, each on a free port."""

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        new_port: Callable[[], int] = lambda: free_ports(1)[0],
    ) -> None:
        super().__init__("all", environment, folder)
        self.ports = {name: new_port() for name in PORTS}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.roles = "all"
        self.program = ("services", self.roles)
        self.environment |= {
            "FASTCORE_HTTP_PORT": "",
            "FASTCORE_HTTP_PORTS": ",".join(f"{name}={port}" for name, port in self.ports.items()),
            "FASTCORE_ADMIN_GATEWAY_URLS": self.urls["ingest"],
            "FASTCORE_ADMIN_SERVICE_URLS": ",".join(f"{name}={url}" for name, url in self.urls.items()),
            "FASTCORE_FLUSHER_GATEWAY_URL": self.urls["ingest"],
        }

    async def ready(self, seconds: float = 60) -> None:
        """Wait for the `/readyz` of every service."""
        await asyncio.gather(*(self.answers_ready(url, seconds) for url in self.urls.values()))

    def names_in_log(self) -> set[str]:
        """Return the services that have written log lines."""
        return {json.loads(line)["service"] for line in self.log.read_text().splitlines() if line[:1] == "{"}

    async def post(self) -> str:
        """Post a lead as a website does: with the same key until it is accepted. Return its id."""
        key = uuid4().hex
        body = {"name": "Grace", "email": f"grace-{key}@example.com", "message": "Call me."}
        headers = {"Authorization": f"Bearer {INGEST_TOKEN}", "Idempotency-Key": key}

        async def try_once() -> str:
            with contextlib.suppress(httpx.TransportError):
                async with plain_client() as client:
                    answer = await client.post(
                        f"{self.urls['ingest']}/inbound/leads", json=body, headers=headers, timeout=10
                    )
                return str(answer.json()["leadId"]) if answer.status_code == 201 else ""
            return ""

        return await eventually(try_once, seconds=60, what="a 201")

    async def read_admin(self, path: str) -> Any:
        """Return a JSON document of the admin API, or an empty one if the answer is not 200."""
        with contextlib.suppress(httpx.TransportError):
            async with plain_client() as client:
                headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
                answer = await client.get(f"{self.urls['admin']}{path}", headers=headers)
            return answer.json() if answer.status_code == 200 else {}
        return {}


class Role:
    """One service of the process, for faults that concern it: each concerns the whole process."""

    def __init__(self, whole: OneProcess, name: str) -> None:
        self._whole, self.name = whole, name
        self.port, self.url = whole.ports[name], whole.urls[name]
        self.log, self.environment, self.roles = whole.log, whole.environment, whole.roles

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._whole.process

    @property
    def program(self) -> tuple[str, ...]:
        return self._whole.program

    @program.setter
    def program(self, program: tuple[str, ...]) -> None:
        self._whole.program = program

    def start(self) -> None:
        """Start the process, unless it was started for another service."""
        if self.process is None or self.process.poll() is not None:
            self._whole.start()

    async def ready(self, seconds: float = 60) -> None:
        await self._whole.answers_ready(self.url, seconds)

    def kill(self) -> None:
        self._whole.kill()

    def workers(self) -> list[psutil.Process]:
        return self._whole.workers()

    async def stop(self, seconds: float = 55) -> int:
        return await self._whole.stop(seconds)

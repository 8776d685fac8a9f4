"""A website that uses the kit, as a real process: the example website, built once per session, or another."""

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.locks import one_at_a_time
from tests.support.services.processes import ROOT
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

QUEUE_TOKEN = "dev-queue-token-xyz-123"
FOLDER = ROOT / "site" / "example"
NEXT = ROOT / "site" / "node_modules" / "next" / "dist" / "bin" / "next"


def build(target: str = "site-build") -> None:
    """Install the locked packages and build, unless up to date; fail with the output."""
    with one_at_a_time("site-build"):
        done = subprocess.run(
            ["make", target], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
        )
    assert done.returncode == 0, f"make {target}: {done.stdout[-3000:]}{done.stderr[-3000:]}"


@dataclass
class Site:
    """A website process. `folder` holds its queue and its log, `code` its program and what that reads."""

    port: int
    folder: Path
    environment: dict[str, str]
    code: Path = FOLDER
    program: str = str(NEXT)  # `next`, or one that takes its address from the environment
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def queue_url(self) -> str:
        return f"{self.url}/api/contact/queue"

    @property
    def log(self) -> str:
        return (self.folder / "site.log").read_text(encoding="utf-8")

    async def start(self) -> None:
        """Start it, and wait until it responds."""
        variables = {
            "FASTCORE_SITE_QUEUE_TOKEN": QUEUE_TOKEN,
            "FASTCORE_SITE_QUEUE_FOLDER": str(self.folder / "queue"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "ORIGIN": self.url,
            **self.environment,
        }
        arguments = ["start", "--hostname", "127.0.0.1"] if self.program.endswith("next") else []
        with (self.folder / "site.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - started here, waited for below
                ["node", self.program, *arguments],
                cwd=self.code,
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
            )

        async def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log[-2000:]
            with contextlib.suppress(httpx.HTTPError):
                async with plain_client() as client:
                    return (await client.get(self.url, timeout=5)).status_code == 200
            return False

        await eventually(answers, seconds=60, what="the website")

    def kill(self) -> None:
        """Kill it with `kill -9`, like a crash."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def queue(self) -> dict[str, Any]:
        """Fetch the queue like the flusher."""
        async with plain_client() as client:
            answer = await client.get(
                self.queue_url, headers={"Authorization": f"Bearer {QUEUE_TOKEN}"}, timeout=10
            )
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def depth(self) -> int:
        return int((await self.queue())["depth"])

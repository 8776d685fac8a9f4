"""`python -m deploy.container.all_in_one`: run all services and the edge in one container.

It needs an external Kafka, PostgreSQL and mail server. The services share one process, and the edge is its
child.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.settings import SERVICE_SETTINGS, missing_variables
from runtime.settings import load
from runtime.tasks import run_in_background
from services.one_process import run_services
from services.roles import PORTS

EDGE_PORT = 8000
# Short: the services have stopped before, and producer and pool close after it, all within 60 s.
EDGE_STOP_SECONDS = 2.0


class EdgeEnded(Exception):
    """The edge ended by itself. The container must end, so that the engine starts it again."""


@asynccontextmanager
async def running_edge(*command: str) -> AsyncIterator[None]:
    """Run the edge while the context lasts. If it ends by itself, this process drains and ends."""
    process = await asyncio.create_subprocess_exec(*command)

    async def watch() -> None:
        raise EdgeEnded(f"the edge exited with {await process.wait()}")

    try:
        async with run_in_background(watch(), "edge"):
            yield
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), EDGE_STOP_SECONDS)
        if process.returncode is None:
            process.kill()
            await process.wait()


def edge_command(folder: str) -> list[str]:
    """Return the command of the edge. Caddy stores its state in `folder`."""
    options = ["--host", "0.0.0.0", "--port", str(EDGE_PORT), "--folder", folder]  # noqa: S104 - published
    return [sys.executable, "-m", "deploy.embedded.servers.edge", *options]


def main() -> None:
    """Check the settings of all services, then run the services and the edge until SIGTERM."""
    missing = sorted({name for settings in SERVICE_SETTINGS for name in missing_variables(settings)})
    if missing:
        sys.exit(
            f"set {', '.join(missing)}: docker run --env-file .env fastcore (.env.example explains them)"
        )
    for settings in SERVICE_SETTINGS:
        load(settings)
    urls = {name: f"http://127.0.0.1:{port}" for name, port in PORTS.items()}
    os.environ.setdefault("FASTCORE_ADMIN_GATEWAY_URLS", urls["ingest"])
    os.environ.setdefault(
        "FASTCORE_ADMIN_SERVICE_URLS", ",".join(f"{name}={url}" for name, url in urls.items())
    )
    os.environ.setdefault("FASTCORE_FLUSHER_GATEWAY_URL", urls["ingest"])
    # Only the edge can be reached from outside of the container.
    os.environ |= {"FASTCORE_HTTP_HOST": "127.0.0.1", "FASTCORE_HTTP_PORT": "", "FASTCORE_HTTP_PORTS": ""}
    with tempfile.TemporaryDirectory(prefix="fastcore-") as folder:
        run_services(list(PORTS), running_edge(*edge_command(folder)))


if __name__ == "__main__":
    main()

"""The start of the admin service without its dependencies, and with wrong settings."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.cli.migrate import migrate
from deploy.embedded.servers.standalone import running_postgres
from tests.support.services.admin import TOKEN
from tests.support.services.processes import processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Suspend a process and its children, as on a frozen machine."""
    program = psutil.Process(pid)
    stopped = [program, *program.children(recursive=True)]
    for each in stopped:
        each.suspend()
    yield
    for each in stopped:
        with suppress(psutil.NoSuchProcess):
            each.resume()


async def test_it_starts_without_database_and_kafka_and_recovers(tmp_path: Path) -> None:
    with running_postgres(tmp_path / "database") as postgres:
        await migrate(postgres.urls.owner, postgres.urls.service)
        postgres.stop()
        environment = {
            "DATABASE_URL": postgres.urls.service,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "FASTCORE_ADMIN_TOKEN": TOKEN,
            "DEBUG": "false",
        }
        with processes(tmp_path, environment, "admin") as started:
            service = started["admin"]
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with plain_client(base_url=service.url, headers=headers, timeout=15) as client:

                async def alive() -> int:
                    try:
                        return (await client.get("/livez")).status_code
                    except httpx.HTTPError:
                        return 0

                await eventually(alive, until=lambda code: code == 200)
                assert (await client.get("/readyz")).status_code == 503
                answer = await client.get("/admin/leads")
                assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
                assert "retry-after" in answer.headers
                stats = (await client.get("/admin/queue/stats")).json()
                assert (stats["stages"], stats["books"]) == (None, None)
                postgres.start()
                await service.ready(15)
                assert (await client.get("/admin/leads")).json()["total"] == 0
                # Kafka is still unavailable, but the leads can be read.
                assert (await client.get("/admin/health")).json()["broker"]["state"] == "down"
                with suspended(postgres.pid):
                    began = time.monotonic()
                    health = (await client.get("/admin/health")).json()
                    stats = (await client.get("/admin/queue/stats")).json()
                    assert time.monotonic() - began < 10
                    assert (health["database"]["state"], stats["books"]) == ("down", None)
                assert (await client.get("/admin/leads")).status_code == 200
            # uvicorn drains and then exits by the signal that it received.
            assert await service.stop() in (0, -signal.SIGTERM)
            assert TOKEN not in service.log.read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"FASTCORE_ADMIN_TOKEN": ""}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_TOKEN": "short"}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_TOKEN": "dev-admin-token-xyz-123"}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_TOKEN": f"{TOKEN},bob:short"}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_SERVICE_URLS": "http://ingest:8001"}, "FASTCORE_ADMIN_SERVICE_URLS"),
        ({"FASTCORE_ADMIN_GATEWAY_URLS": "ingest:8001"}, "FASTCORE_ADMIN_GATEWAY_URLS"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
    ],
)
async def test_an_invalid_setting_stops_it_with_one_line(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FASTCORE_ADMIN_TOKEN": TOKEN,
        "DEBUG": "false",
    } | changes
    with processes(tmp_path, environment, "admin") as started:
        service = started["admin"]

        async def ended() -> bool:
            assert service.process is not None
            return service.process.poll() is not None

        await eventually(ended)
        assert service.process is not None
        assert service.process.returncode == 1
        (line,) = service.log.read_text().splitlines()
        assert message in line
        assert "short" not in line.replace("shorter", "")

"""The sites file in a real gateway and a real notifier: at the start, and while they run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-a-website-1234567890"
NEW_TOKEN = "another-token-of-a-website-987654"
BODY = {"name": "Ada", "email": "ada@example.com", "service": "Web", "message": "Hello"}
FIRST = """
[sites.studio]
tokens = ["env:STUDIO_TOKEN"]
origins = ["https://studio.example"]
"""
SECOND = f"""
[sites.studio]
tokens = ["env:STUDIO_TOKEN"]
origins = ["https://new.example"]
[sites.shop]
tokens = ["sha256:{sha256(NEW_TOKEN.encode()).hexdigest()}"]
"""


class MountedFile:
    """A file as in a ConfigMap: a link to `..data/sites.toml`, and `..data` is a link to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "sites.toml"
        self.write(FIRST)
        self.path.symlink_to("..data/sites.toml")

    def write(self, text: str) -> None:
        version = self._folder / f"..version-{sha256(text.encode()).hexdigest()[:8]}"
        version.mkdir(exist_ok=True)
        (version / "sites.toml").write_text(text)
        swap = self._folder / "..data_tmp"
        swap.symlink_to(version.name)
        swap.replace(self._folder / "..data")


@pytest.fixture
def mounted(tmp_path: Path) -> MountedFile:
    folder = tmp_path / "mounted"
    folder.mkdir()
    return MountedFile(folder)


@pytest.fixture
def gateway(kafka: Kafka, tmp_path: Path, mounted: MountedFile) -> Iterator[ServiceProcess]:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_SITE_INGEST_TOKEN": "",
        "FASTCORE_SITES_FILE": str(mounted.path),
        "STUDIO_TOKEN": TOKEN,
        "DEBUG": "false",
    }
    with processes(tmp_path, environment, "ingest") as started:
        yield started["ingest"]


@pytest.fixture
async def client(gateway: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    await gateway.ready()
    async with plain_client(base_url=gateway.url, timeout=20) as made:
        await eventually(
            lambda: made.get("/internal/status"), until=lambda said: said.json()["breaker"] == "closed"
        )
        yield made


async def submit(client: httpx.AsyncClient, token: str, origin: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} | ({"Origin": origin} if origin else {})
    return await client.post("/inbound/leads", json=BODY, headers=headers)


async def sites_part(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/readyz")
    assert answer.status_code == 200, answer.text
    part: dict[str, Any] = answer.json()["parts"]["sites_file"]
    return part


async def test_a_new_version_takes_effect_and_an_invalid_one_only_warns(
    client: httpx.AsyncClient, gateway: ServiceProcess, mounted: MountedFile, kafka: Kafka
) -> None:
    allowed = "Access-Control-Allow-Origin"
    answer = await submit(client, TOKEN, "https://studio.example")
    assert (answer.status_code, answer.headers[allowed]) == (201, "https://studio.example")
    assert (await submit(client, NEW_TOKEN)).status_code == 401
    assert await sites_part(client) | {"ok": True, "reason": ""} == await sites_part(client)

    mounted.write(SECOND)
    await eventually(lambda: submit(client, NEW_TOKEN), until=lambda said: said.status_code == 201)
    answer = await submit(client, TOKEN, "https://new.example")
    assert (answer.status_code, answer.headers[allowed]) == (201, "https://new.example")
    assert allowed not in (await submit(client, TOKEN, "https://studio.example")).headers
    digest = sha256(SECOND.encode()).hexdigest()[:12]
    assert f'fastcore_sites_file_info{{digest="{digest}"}} 1.0' in (await client.get("/metrics")).text

    mounted.write("[sites.studio]\ntokens = ['env:ABSENT']")
    warned = await eventually(lambda: sites_part(client), until=lambda part: part["reason"] != "")
    assert warned["ok"] is True
    assert "sites.studio.tokens: the variable ABSENT is not set" in warned["reason"]
    assert (await submit(client, NEW_TOKEN)).status_code == 201
    assert "fastcore_sites_file_invalid 1.0" in (await client.get("/metrics")).text

    mounted.write(SECOND)
    await eventually(lambda: sites_part(client), until=lambda part: part["reason"] == "")
    leads = [LeadReceived.model_validate_json(record.value) for record in await records_of(
        kafka, topics.RECEIVED.name)]  # fmt: skip
    assert {each.site for each in leads} == {"studio", "shop"}
    for line in ("sites file applied", "sites file not applied", "sites file is valid again"):
        assert line in gateway.log.read_text()


@pytest.mark.parametrize("service", ["ingest", "notifier", "flusher"])
async def test_a_mistake_stops_the_start_with_one_line(
    service: str, tmp_path: Path, mounted: MountedFile
) -> None:
    mounted.write("[sites.studio]\norigin = ['https://studio.example']")
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "FASTCORE_SITE_INGEST_TOKEN": "",
        "FASTCORE_SITES_FILE": str(mounted.path),
        "SMTP_HOST": "127.0.0.1",
        "FROM_EMAIL": "leads@fastcore.example",
        "ADMIN_EMAIL": "boss@fastcore.example",
    }
    with processes(tmp_path, environment, service) as started:
        process, reason = started[service], "is not a known key (did you mean origins?)"
        assert process.process is not None
        assert await asyncio.to_thread(process.process.wait, 30) == 1
        assert process.log.read_text().splitlines() == [
            f"wrong sites file: {mounted.path}: sites.studio.origin: {reason} (docs/sites.md)"
        ]

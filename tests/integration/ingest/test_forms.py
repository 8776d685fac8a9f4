"""HTML forms on a real gateway with a real broker: files, proxies, and two gateways."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

ORIGIN = "https://studio.example"
HEADERS = {"Origin": ORIGIN, "Accept": "application/json"}
PATH = "/inbound/forms/studio-4k7w9q2m"
FIELDS = {"name": "Ada", "email": "ada@example.com", "message": "Hello"}
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Gateways:
    """Two gateways with the same sites file."""

    first: httpx.AsyncClient
    second: httpx.AsyncClient
    kafka: Kafka

    async def leads(self) -> list[LeadReceived]:
        records = await records_of(self.kafka, topics.RECEIVED.name)
        return [LeadReceived.model_validate_json(record.value) for record in records]


@pytest.fixture
async def gateways(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Gateways]:
    file = tmp_path / "sites.toml"
    file.write_text(f'[sites.studio]\nform_key = "studio-4k7w9q2m"\norigins = ["{ORIGIN}"]\n')
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_SITE_INGEST_TOKEN": "",
        "FASTCORE_SITES_FILE": str(file),
        "FASTCORE_INGEST_LEADS_PER_IP_PER_HOUR": "1",
        "DEBUG": "false",
    }
    with (
        processes(tmp_path, environment, "ingest") as first,
        processes(tmp_path, environment, "ingest") as second,
    ):
        async with client_of(first["ingest"]) as one, client_of(second["ingest"]) as other:
            for service, client in ((first["ingest"], one), (second["ingest"], other)):
                await service.ready()
                await eventually(partial(breaker_of, client), until=lambda state: state == "closed")
            yield Gateways(one, other, kafka)


def client_of(service: ServiceProcess) -> httpx.AsyncClient:
    return plain_client(base_url=service.url, headers=HEADERS, timeout=30)


async def breaker_of(client: httpx.AsyncClient) -> str:
    state: str = (await client.get("/internal/status")).json()["breaker"]
    return state


async def test_large_files_do_not_cost_the_lead(gateways: Gateways) -> None:
    files = {"plan": ("plan.pdf", b"x" * (20 * MEBIBYTE)), "photo": ("photo.jpg", b"y" * (5 * MEBIBYTE))}
    answer = await gateways.first.post(PATH, data=FIELDS, files=files)
    assert answer.status_code == 201, answer.text
    too_large = await gateways.first.post(PATH, data=FIELDS, files={"a": ("a", b"x" * (33 * MEBIBYTE))})
    assert too_large.status_code == 413
    (lead,) = await gateways.leads()
    assert str(lead.lead_id) == answer.json()["leadId"]
    assert lead.extra == {
        "plan": "plan.pdf (a file, which was not kept)",
        "photo": "photo.jpg (a file, which was not kept)",
    }


async def test_the_limit_counts_visitors_behind_a_trusted_proxy(gateways: Gateways) -> None:
    for number, visitor in enumerate(["203.0.113.1", "203.0.113.2", "203.0.113.1"]):
        answer = await gateways.first.post(
            PATH, data=FIELDS | {"message": str(number)}, headers={"X-Forwarded-For": visitor}
        )
        assert answer.status_code == 201
    reasons = {lead.message: lead.spam_reasons for lead in await gateways.leads()}
    assert reasons == {"0": (), "1": (), "2": ("rate_ip",)}


async def test_a_double_click_at_two_gateways_is_one_lead(gateways: Gateways) -> None:
    answers = [await client.post(PATH, data=FIELDS) for client in (gateways.first, gateways.second)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["leadId"] == answers[1].json()["leadId"]
    assert len({lead.lead_id for lead in await gateways.leads()}) == 1


def read_logs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.log"))


async def test_no_answer_is_in_a_log_a_metric_or_a_header(gateways: Gateways, tmp_path: Path) -> None:
    sparrow = {
        name: f"sparrow {name}" for name in ("name", "message", "sparrow field", "_key", "_next", "_gotcha")
    }
    answers = []
    for changes, headers in [
        ({"email": "sparrow@example.com"}, {}),
        ({"email": "sparrow"}, {}),
        ({"email": "sparrow"}, {"Accept": "text/html"}),
        ({}, {"Origin": "https://sparrow.example", "Accept": "text/html"}),
        ({}, {"Content-Type": "text/sparrow"}),
    ]:
        headers |= {"Referer": f"{ORIGIN}/?utm_source=sparrow", "X-Request-ID": "sparrow@example.com"}
        answers.append(
            await gateways.first.post(f"{PATH}?who=sparrow", data=sparrow | changes, headers=headers)
        )
    assert [answer.status_code for answer in answers] == [201, 422, 422, 403, 415]
    logs = read_logs(tmp_path)
    metrics = (await gateways.first.get("/metrics")).text
    assert "request refused" in logs
    for text in (logs, metrics, *(str(answer.headers) for answer in answers)):
        assert "sparrow" not in text

"""The gateway as a real process with a real broker: it publishes accepted leads and rejects the others."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts import headers as h
from contracts import topics
from contracts.audit import AuditRecorded
from contracts.leads import EXAMPLE, LeadReceived, lead_id_for
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-a-website-1234567890"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def environment(bootstrap_servers: str, prefix: str = "", **more: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "FASTCORE_SITE_INGEST_TOKEN": f"www:{TOKEN}",
        "DEBUG": "false",
        **more,
    }


@pytest.fixture
def gateway(kafka: Kafka, tmp_path: Path) -> Iterator[ServiceProcess]:
    with processes(tmp_path, environment(kafka.bootstrap_servers, kafka.topic_prefix), "ingest") as started:
        yield started["ingest"]


@pytest.fixture
async def client(gateway: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    await gateway.ready()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with plain_client(base_url=gateway.url, headers=headers, timeout=20) as made:
        # The gateway is ready without Kafka, so wait for Kafka: earlier leads would go to the spool.
        await eventually(
            lambda: made.get("/internal/status"), until=lambda said: said.json()["breaker"] == "closed"
        )
        yield made


def a_lead(**changes: Any) -> dict[str, Any]:
    return {"name": "Ada", "email": "ada@example.com", "service": "Web", "message": "Hello"} | changes


async def test_accepted_lead_is_published_under_its_id_with_headers(
    client: httpx.AsyncClient, kafka: Kafka
) -> None:
    answer = await client.post(
        "/inbound/leads",
        json=EXAMPLE,
        headers={"Idempotency-Key": "key-1", "X-Request-ID": "req-1", "traceparent": TRACEPARENT},
    )

    assert answer.status_code == 201, answer.text
    (record,) = await records_of(kafka, topics.RECEIVED.name)
    lead = LeadReceived.model_validate_json(record.value)
    assert answer.json().keys() == {"leadId", "timestamp", "status"}
    assert UUID(answer.json()["leadId"]) == lead.lead_id == lead_id_for("www", "key-1")
    assert datetime.fromisoformat(answer.json()["timestamp"]) == lead.occurred_at
    assert record.key == str(lead.lead_id).encode()
    assert dict(record.headers) == {
        h.CONTENT_TYPE: b"application/json",
        h.CORRELATION_ID: b"req-1",
        h.TRACEPARENT: TRACEPARENT.encode(),
    }
    assert lead.request_id == "key-1"
    assert (lead.site, lead.extra, lead.spam_reasons) == ("www", {"budget": "10,000"}, ())
    assert lead.consent_version == "2024-01"
    assert b"192.0.2.1" not in record.value
    assert b"Mozilla" not in record.value


async def test_replay_gets_the_same_response_and_is_published_once(
    client: httpx.AsyncClient, kafka: Kafka
) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = await client.post("/inbound/leads", json=a_lead(), headers=key)
    again = await client.post("/inbound/leads", json=a_lead(), headers=key)
    other = await client.post("/inbound/leads", json=a_lead(message="Bye"), headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await records_of(kafka, topics.RECEIVED.name)) == 1


async def test_rejected_request_gets_an_audit_entry_without_input(
    client: httpx.AsyncClient, kafka: Kafka
) -> None:
    anonymous = await client.post("/inbound/leads", json=a_lead(), headers={"Authorization": "Bearer no"})
    answer = await client.post("/inbound/leads", json=a_lead(email="no-address", secret="\0"))
    assert (answer.status_code, anonymous.status_code) == (422, 401)

    async def entries() -> list[Any]:
        return await records_of(kafka, topics.AUDIT.name)

    # The unauthenticated request was sent first, so its entry would be here, too.
    records = await eventually(entries, until=lambda found: len(found) >= 1)
    found = {e.actor: e for e in (AuditRecorded.model_validate_json(record.value) for record in records)}
    assert found["www"].status_code == 422
    assert found["www"].details == {"code": "invalid-lead", "fields": ["email"]}
    assert set(found) == {"www"}
    assert all(b"no-address" not in record.value and b"secret" not in record.value for record in records)


async def test_stalled_body_gets_a_408_and_next_lead_is_accepted(kafka: Kafka, tmp_path: Path) -> None:
    settings = environment(
        kafka.bootstrap_servers, kafka.topic_prefix, FASTCORE_INGEST_BODY_DEADLINE_SECONDS="0.3"
    )
    with processes(tmp_path, settings, "ingest") as started:
        await started["ingest"].ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", started["ingest"].port)
        writer.write(
            f"POST /inbound/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{".encode()
        )
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer
        writer.close()
        async with plain_client(base_url=started["ingest"].url) as client:
            good = await client.post(
                "/inbound/leads", json=a_lead(), headers={"Authorization": f"Bearer {TOKEN}"}
            )
        assert good.status_code == 201


async def test_regression_lead_that_offers_an_upgrade_is_accepted(client: httpx.AsyncClient) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}
    answer = await client.post("/inbound/leads", json=a_lead(), headers=offer)
    assert answer.status_code == 201
    # No part of the body was parsed as another request.
    assert (await client.get("/livez")).status_code == 200


async def test_body_of_10_mb_gets_a_413_that_arrives(client: httpx.AsyncClient) -> None:
    answer = await client.post("/inbound/leads", content=json.dumps(a_lead(message="x" * 10_000_000)))
    assert answer.status_code == 413
    assert (await client.post("/inbound/leads", json=a_lead())).status_code == 201


async def test_200_idle_connections_are_closed_and_leads_go_on(kafka: Kafka, tmp_path: Path) -> None:
    settings = environment(
        kafka.bootstrap_servers, kafka.topic_prefix, FASTCORE_HTTP_HEAD_TIMEOUT_SECONDS="1"
    )
    with processes(tmp_path, settings, "ingest") as started:
        gateway = started["ingest"]
        await gateway.ready()
        slow = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(200)]
        for _, writer in slow[::2]:
            writer.write(b"POST /inbound/leads HTTP/1.1\r\nHost: x\r\nX-Slow")
        async with plain_client(base_url=gateway.url) as client:
            for _ in range(2):
                good = await client.post(
                    "/inbound/leads", json=a_lead(), headers={"Authorization": f"Bearer {TOKEN}"}
                )
                assert good.status_code == 201
            ended = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in slow)), 5)
            assert set(ended) == {b""}
            # A connection that was used has its own, longer timeout.
            assert (await client.get("/livez")).status_code == 200
        for _, writer in slow:
            writer.close()

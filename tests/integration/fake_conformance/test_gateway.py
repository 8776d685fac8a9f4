"""The gateway without Kafka answers like the real process: the same requests run on both."""

from pathlib import Path
from typing import Any

import httpx

from runtime.settings import Kafka
from tests.integration.ingest.test_ingest import environment
from tests.support.services import gateway as fake_gateway
from tests.support.services.processes import processes
from tests.support.web.plain_http import plain_client

LEAD = fake_gateway.submission()
AUTHORIZED = {**fake_gateway.AUTHORIZED, "X-Request-ID": "conformance"}
JSON = AUTHORIZED | {"Content-Type": "application/json"}
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lead": ("POST", "/inbound/leads", {"json": LEAD, "headers": AUTHORIZED | {"Idempotency-Key": "k"}}),
    "replay": ("POST", "/inbound/leads", {"json": LEAD, "headers": AUTHORIZED | {"Idempotency-Key": "k"}}),
    "key with another body": (
        "POST",
        "/inbound/leads",
        {"json": LEAD | {"message": "Bye"}, "headers": AUTHORIZED | {"Idempotency-Key": "k"}},
    ),
    "invalid fields": ("POST", "/inbound/leads", {"json": {"email": "no"}, "headers": AUTHORIZED}),
    "malformed JSON": ("POST", "/inbound/leads", {"content": b"{", "headers": JSON}),
    "too large": ("POST", "/inbound/leads", {"content": b" " * 300_000, "headers": JSON}),
    "text": (
        "POST",
        "/inbound/leads",
        {"content": b"{}", "headers": AUTHORIZED | {"Content-Type": "text/plain"}},
    ),
    "no token": ("POST", "/inbound/leads", {"json": LEAD, "headers": {"X-Request-ID": "conformance"}}),
    "wrong method": ("PUT", "/inbound/leads", {"json": LEAD, "headers": AUTHORIZED}),
    "unknown path": ("GET", "/nowhere", {"headers": AUTHORIZED}),
}


async def responses(client: httpx.AsyncClient) -> dict[str, tuple[Any, ...]]:
    found = dict[str, tuple[Any, ...]]()
    for name, (method, path, options) in REQUESTS.items():
        response = await client.request(method, path, **options)
        body = response.json()
        body.pop("timestamp", None)
        found[name] = (response.status_code, body, response.headers.get("Content-Type"))
    return found


async def test_gateway_fake_answers_like_the_process(kafka: Kafka, tmp_path: Path) -> None:
    async with fake_gateway.run_gateway() as fake:
        expected = await responses(fake.client)
    variables = environment(kafka.bootstrap_servers, kafka.topic_prefix)
    with processes(tmp_path, variables, "ingest") as started:
        await started["ingest"].ready()
        async with plain_client(base_url=started["ingest"].url, timeout=20) as client:
            assert await responses(client) == expected
    assert {status for status, *_ in expected.values()} == {201, 400, 401, 404, 405, 413, 415, 422}

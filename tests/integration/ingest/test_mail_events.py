"""The gateway as a real process publishes what mail providers report, and refuses what they did not send."""

import base64
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from contracts import topics
from contracts.mail_events import MailEvent
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.mail.providers import (
    LEAD_ID,
    MAILGUN_KEY,
    SendGridSigner,
    mailgun_body,
    payload,
)
from tests.support.services.gateway import expect_problem
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-a-website-1234567890"
SECRET = "the-secret-of-postmark-1234567890"
SIGNER = SendGridSigner()
POSTMARK = {"Authorization": f"Basic {base64.b64encode(f'fastcore:{SECRET}'.encode()).decode()}"}


def environment(bootstrap_servers: str, prefix: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "FASTCORE_SITE_INGEST_TOKEN": f"www:{TOKEN}",
        "FASTCORE_MAIL_EVENTS_SENDGRID_PUBLIC_KEY": SIGNER.public_key,
        "FASTCORE_MAIL_EVENTS_POSTMARK_SECRET": SECRET,
        "FASTCORE_MAIL_EVENTS_MAILGUN_SIGNING_KEY": MAILGUN_KEY,
    }


@pytest.fixture
def gateway(kafka: Kafka, tmp_path: Path) -> Iterator[ServiceProcess]:
    with processes(tmp_path, environment(kafka.bootstrap_servers, kafka.topic_prefix), "ingest") as started:
        yield started["ingest"]


@pytest.fixture
async def client(gateway: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    await gateway.ready()
    async with plain_client(base_url=f"{gateway.url}/inbound/mail-events/", timeout=20) as made:
        await eventually(
            lambda: made.get(f"{gateway.url}/internal/status"),
            until=lambda said: said.json()["breaker"] == "closed",
        )
        yield made


async def events(kafka: Kafka) -> list[MailEvent]:
    records = await records_of(kafka, topics.MAIL_EVENTS.name)
    assert {record.key for record in records} <= {str(LEAD_ID).encode()}
    return [MailEvent.model_validate_json(record.value) for record in records]


async def test_events_are_in_kafka_when_the_provider_gets_its_200(
    gateway: ServiceProcess, client: httpx.AsyncClient, kafka: Kafka
) -> None:
    now, body = datetime.now(UTC), payload("sendgrid")
    for _ in range(2):  # a repeated request has the same ids
        answer = await client.post("sendgrid", content=body, headers=SIGNER.headers(body, now))
        assert answer.status_code == 200, answer.text
    found = await events(kafka)
    assert len(found) == 8
    assert len({event.event_id for event in found}) == 4
    assert (await client.post("postmark", content=payload("postmark_bounce"), headers=POSTMARK)).is_success
    signed = mailgun_body(payload("mailgun_complaint"), at=now)
    assert (await client.post("mailgun", content=signed)).is_success
    assert [event.source for event in await events(kafka)][8:] == ["postmark", "mailgun"]
    counted = (await client.get(f"{gateway.url}/metrics")).text
    assert 'fastcore_mail_events_received_total{provider="sendgrid",result="published"} 8.0' in counted
    assert 'fastcore_mail_events_received_total{provider="sendgrid",result="soft"} 2.0' in counted


async def test_forged_unknown_and_odd_requests_are_refused_and_counted(
    gateway: ServiceProcess, client: httpx.AsyncClient, kafka: Kafka
) -> None:
    body, now = payload("sendgrid"), datetime.now(UTC)
    signed = SIGNER.headers(body, now)
    expect_problem(await client.post("sendgrid", content=body), 401)
    expect_problem(await client.post("sendgrid", content=body + b" ", headers=signed), 401)
    expect_problem(await client.post("postmark", content=body), 401)
    expect_problem(await client.post("mailgun", content=mailgun_body(b"{}", key="x", at=now)), 401)
    expect_problem(await client.post("ses", content=b"{}"), 404)  # not configured
    expect_problem(await client.post("other", content=b"{}"), 404)
    expect_problem(await client.post("postmark", content=b"[]", headers=POSTMARK), 422)
    large = b" " * (1024 * 1024) + payload("postmark_bounce")
    expect_problem(await client.post("postmark", content=large, headers=POSTMARK), 413)
    encoded = POSTMARK | {"Content-Encoding": "gzip"}
    expect_problem(await client.post("postmark", content=b"x", headers=encoded), 415)
    nested = b'{"a":' * 5000 + b"1" + b"}" * 5000
    expect_problem(await client.post("postmark", content=nested, headers=POSTMARK), 422)
    assert (await client.get("sendgrid")).status_code == 405
    assert await events(kafka) == []
    counted = (await client.get(f"{gateway.url}/metrics")).text
    assert 'fastcore_mail_events_received_total{provider="sendgrid",result="forged"} 2.0' in counted
    assert 'fastcore_requests_rejected_total{code="unknown-provider"} 2.0' in counted


async def test_a_report_of_more_than_a_lead_may_have_is_accepted(
    client: httpx.AsyncClient, kafka: Kafka
) -> None:
    large = payload("postmark_bounce") + b" " * 700_000
    assert (await client.post("postmark", content=large, headers=POSTMARK)).is_success
    assert len(await events(kafka)) == 1


async def test_without_kafka_the_provider_gets_a_503(tmp_path: Path) -> None:
    with processes(tmp_path, environment("127.0.0.1:1", "nobody."), "ingest") as started:
        await started["ingest"].ready()
        async with plain_client(base_url=started["ingest"].url, timeout=20) as client:
            answer = await eventually(
                lambda: client.post(
                    "/inbound/mail-events/postmark", content=payload("postmark_bounce"), headers=POSTMARK
                ),
                until=lambda said: said.status_code == 503,
            )
            assert answer.headers["retry-after"] == "5"

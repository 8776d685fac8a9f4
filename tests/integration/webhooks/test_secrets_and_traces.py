"""A secret's file that changes while the service runs, and the trace of a lead up to its receiver."""

import base64
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from contracts import headers as h
from contracts import topics
from runtime.settings import Kafka, Postgres, Tracing
from runtime.sites import watched_files
from services.webhooks.destinations import Destinations
from tests.support.factories import lead, post, producer
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.otlp_collector import running_collector
from tests.support.web.webhook_receiver import SECRET, Receiver, webhook_receiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def _received(receiver: Receiver, count: int) -> None:
    async def bodies() -> int:
        return len(receiver.bodies)

    await eventually(bodies, until=lambda found: found >= count, what="the request")


async def test_a_changed_file_signs_the_next_request_without_a_restart(
    kafka: Kafka, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_files, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(watched_files, "STABLE_SECONDS", 0.05)
    new = "whsec_" + base64.b64encode(b"the new secret of a rotation, 40 bytes..").decode()
    file = tmp_path / "secret"
    file.write_text(SECRET)
    applied = list[str]()
    use = Destinations.use

    def note(self: Any, *arguments: Any) -> None:
        use(self, *arguments)
        applied.append(self.by_name["crm"].secrets[0])

    monkeypatch.setattr(Destinations, "use", note)
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url, secret=f"file:{file}"))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await post(kafka, lead())
            await _received(receiver, 1)
            file.write_text(new)

            async def latest() -> str:
                return applied[-1]

            await eventually(latest, until=lambda found: found == new, what="the new secret")
            await post(kafka, lead())
            await _received(receiver, 2)
    for secret, body, headers in zip((SECRET, new), receiver.bodies, receiver.headers, strict=True):
        Webhook(secret).verify(body, headers)


async def _send(kafka: Kafka, *traceparents: bytes) -> None:
    async with producer(kafka) as sender:
        for traceparent in traceparents:
            sent = lead()
            await sender.send(
                kafka.topic_prefix + topics.RECEIVED.name,
                key=str(sent.lead_id).encode(),
                value=sent.model_dump_json().encode(),
                headers=[(h.TRACEPARENT, traceparent)],
            )


async def test_the_trace_reaches_only_a_receiver_that_asks_for_it(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as traced, webhook_receiver() as other:
        sites = write_sites(
            tmp_path, destination("traced", traced.url, trace=True), destination("other", other.url)
        )
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await _send(kafka, TRACEPARENT.encode())
            await _received(traced, 1)
            await _received(other, 1)
    assert traced.headers[0]["traceparent"] == TRACEPARENT
    assert "traceparent" not in other.headers[0]
    assert await db.fetchval("SELECT traceparent FROM webhook_event") == TRACEPARENT


async def test_with_a_collector_the_request_has_a_span_of_its_own(
    kafka: Kafka, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_collector() as collector:
        async with webhook_receiver() as receiver:
            sites = write_sites(tmp_path, destination("crm", receiver.url, trace=True))
            tracing = Tracing(exporter_otlp_endpoint=collector.url)
            async with webhooks(kafka, postgres, sites, monkeypatch, tracing=tracing):
                await _send(kafka, TRACEPARENT.encode())
                await _received(receiver, 1)
        (span,) = [each for each in collector.of(TRACE) if each.name == "deliver"]
    assert receiver.headers[0]["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
    assert (span.kind, span.parent_id, span.error) == ("client", "00f067aa0ba902b7", False)
    (event,) = receiver.events
    assert span.attributes == {
        "fastcore.destination": "crm",
        "fastcore.event_id": event["id"],
        "fastcore.result": "delivered",
        "fastcore.status_code": 200,
    }
    assert not [text for text in ("example.com", receiver.url) if text in span.everything]


async def test_a_malformed_trace_is_dropped_and_delays_nothing(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [
        b"\xff",
        b"a\r\nx: y",
        TRACEPARENT.encode() + b"-more",
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
    ]
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url, trace=True))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            await _send(kafka, *odd)
            await _received(receiver, len(odd))
    assert not [headers for headers in receiver.headers if "traceparent" in headers]
    assert await db.fetchval("SELECT count(traceparent) FROM webhook_event") == 0

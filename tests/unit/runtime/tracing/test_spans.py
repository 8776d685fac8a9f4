"""Without a collector there are no spans, and headers stay as they are."""

import asyncio
import subprocess
import sys
import tomllib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from structlog.contextvars import bound_contextvars, get_contextvars

from contracts.headers import CORRELATION_ID
from runtime import VERSION
from runtime.current_service import set_current_service
from runtime.settings import Tracing
from runtime.tracing import spans
from tests.support.services.notifier import FakeRecord

HEADERS = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("note", b"\xff")]


async def test_producer_span_without_collector_keeps_headers() -> None:
    async with spans.export_spans(Tracing(exporter_otlp_endpoint=None), "test"):
        with spans.producer_span("leads.received.v1", HEADERS, b"key") as carried:
            assert carried is HEADERS


async def test_record_carries_producer_span_of_the_same_trace() -> None:
    # Nobody listens there: what cannot be delivered is dropped, and the stop is bounded.
    async with spans.export_spans(Tracing(exporter_otlp_endpoint="http://127.0.0.1:9"), "test"):
        with spans.producer_span("leads.received.v1", HEADERS, b"key") as carried:
            (traceparent_sent,) = [value for name, value in carried if name == "traceparent"]
    assert traceparent_sent.startswith(b"00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert b"00f067aa0ba902b7" not in traceparent_sent
    assert ("note", b"\xff") in carried


async def test_unsampled_caller_is_not_sampled() -> None:
    unsampled = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")]
    async with spans.export_spans(Tracing(exporter_otlp_endpoint="http://127.0.0.1:9"), "test"):
        with spans.producer_span("leads.received.v1", unsampled, None) as carried:
            assert carried[-1][1].endswith(b"-00")


async def test_malformed_traceparent_starts_new_trace() -> None:
    async with spans.export_spans(Tracing(exporter_otlp_endpoint="http://127.0.0.1:9"), "test"):
        for odd in (b"bob@example.com", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"):
            with spans.producer_span("t", [("traceparent", odd)], b"bob@example.com") as carried:
                ((_, traceparent_sent),) = carried
                assert traceparent_sent.startswith(b"00-")
                assert odd not in traceparent_sent


def test_no_service_imports_sdk_without_collector() -> None:
    apps = ", ".join(
        f"services.{name}.app" for name in ("ingest", "persister", "notifier", "flusher", "admin")
    )
    code = f"import sys, {apps}; sys.exit(any('opentelemetry.sdk' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_version_matches_pyproject() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION


async def test_client_span_continues_the_trace_or_passes_it_on() -> None:
    traceparent = HEADERS[0][1].decode()
    with spans.client_span("deliver", traceparent) as carried:
        assert carried == traceparent
    async with spans.export_spans(Tracing(exporter_otlp_endpoint="http://127.0.0.1:9"), "test"):
        with spans.client_span("deliver", traceparent) as carried:
            assert carried
            assert carried[:36] == traceparent[:36]
            assert carried != traceparent
        with spans.client_span("deliver", None) as carried:
            assert spans.traceparent_of([("traceparent", (carried or "").encode())]) == carried


def test_only_a_valid_traceparent_is_read() -> None:
    assert spans.traceparent_of(HEADERS) == HEADERS[0][1].decode()
    zero = b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01"
    for odd in (b"", b"\xff", b"bob@example.com", zero, HEADERS[0][1] + b"-x", HEADERS[0][1].upper()):
        assert spans.traceparent_of([("traceparent", odd)]) is None
    assert spans.traceparent_of([]) is None


def test_the_logs_of_a_record_have_its_ids_and_then_the_outer_ones() -> None:
    record: Any = FakeRecord(key=b"0f4a1b8e-0000-4000-8000-000000000001", headers=[(CORRELATION_ID, b"c-1")])
    with bound_contextvars(lead_id="outer", part="kafka"):
        with spans.record_context(record):
            assert get_contextvars() == {
                "lead_id": "0f4a1b8e-0000-4000-8000-000000000001",
                "correlation_id": "c-1",
                "part": "kafka",
            }
        assert get_contextvars() == {"lead_id": "outer", "part": "kafka"}


async def test_services_of_one_process_have_spans_of_their_own() -> None:
    async def service_of_span(name: str) -> object:
        set_current_service(name)
        with spans.span("work") as span:
            return getattr(span, "resource").attributes["service.name"]  # noqa: B009 - of the SDK's class

    collector = Tracing(exporter_otlp_endpoint="http://127.0.0.1:9")
    async with AsyncExitStack() as stack:
        for name in ("ingest", "admin"):
            await stack.enter_async_context(spans.export_spans(collector, name))
        found = [await asyncio.create_task(service_of_span(name)) for name in ("ingest", "admin")]
    assert found == ["fastcore-ingest", "fastcore-admin"]
    assert not spans.enabled()

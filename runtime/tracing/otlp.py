"""Exports spans to an OTLP collector. Only this module imports OpenTelemetry's SDK."""

import asyncio
import contextlib
import threading
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from runtime import VERSION

# While the collector is unavailable this many spans are kept in memory; further spans are dropped.
QUEUE_SPANS: Final = 4096
EXPORT_SECONDS: Final = 5
DELAY_SECONDS: Final = 1
# Spans are closed last at a stop: see the drain inequality in ARCHITECTURE.md.
STOP_SECONDS: Final = 1.5


def open_provider(endpoint: str, service: str) -> TracerProvider:
    """Return a provider that exports to `endpoint`. It does not connect yet.

    Sampling is the SDK's default, which follows the caller's decision in the `traceparent` header.
    """
    resource = {
        "service.namespace": "fastcore",
        "service.name": f"fastcore-{service}",
        "service.version": VERSION,
    }
    provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, schedule_delay_millis=DELAY_SECONDS * 1000)
    )
    return provider


async def close_provider(provider: TracerProvider) -> None:
    """Export the remaining spans within `STOP_SECONDS`.

    The export runs in a daemon thread, because a collector that does not answer would block the process
    longer.
    """
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def shut_down() -> None:
        provider.shutdown()
        with contextlib.suppress(RuntimeError):  # the event loop has ended already
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, daemon=True).start()
    try:
        await asyncio.wait_for(done.wait(), STOP_SECONDS)
    except TimeoutError:
        return

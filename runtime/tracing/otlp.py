"""Spans on their way to a collector, all of it bounded. The one place that imports OpenTelemetry's SDK."""

import asyncio
import contextlib
import threading
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from runtime import VERSION

# A collector that is away costs the memory of so many spans; those beyond are dropped.
QUEUE_SPANS: Final = 4096
EXPORT_SECONDS: Final = 5
DELAY_SECONDS: Final = 1
# Behind everything else that a stop closes: see the drain inequality in ARCHITECTURE.md.
STOP_SECONDS: Final = 1.5


def open_provider(endpoint: str, service: str) -> TracerProvider:
    """Build what makes and sends spans. Connects to nothing yet; sampling is the SDK's: the caller's word."""
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


async def close(provider: TracerProvider) -> None:
    """Send what is left, bounded: in a thread that nobody waits for longer, for a collector may be silent."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def shut_down() -> None:
        provider.shutdown()
        with contextlib.suppress(RuntimeError):  # the loop ended before
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, daemon=True).start()
    try:
        await asyncio.wait_for(done.wait(), STOP_SECONDS)
    except TimeoutError:
        return

"""An OTLP collector that receives spans over HTTP as protobuf and shows them as trees."""

import asyncio
import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = ("?", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True)
class Seen:
    """A received span."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: tuple[str, ...]  # trace ids
    milliseconds: float
    start: int
    error: bool
    everything: str  # the whole span as text


@dataclass
class Collector:
    """The received spans. `url` is the value for OTEL_EXPORTER_OTLP_ENDPOINT."""

    url: str
    spans: list[Seen] = field(default_factory=list)

    def of(self, trace_id: str) -> list[Seen]:
        """Return the spans of one trace by start time."""
        return sorted((each for each in self.spans if each.trace_id == trace_id), key=lambda each: each.start)

    def tree(self, trace_id: str, *shown: str) -> list[str]:
        """Return a trace as indented lines of service, name and these attributes."""
        spans = self.of(trace_id)
        ids = {each.span_id for each in spans}

        def below(parent: str, depth: int) -> Iterator[str]:
            for each in spans:
                if each.parent_id == parent or (not depth and each.parent_id not in ids):
                    said = "".join(f" {n}={each.attributes[n]}" for n in shown if n in each.attributes)
                    yield f"{'  ' * depth}{each.service.removeprefix('fastcore-')}: {each.name}{said}"
                    yield from below(each.span_id, depth + 1)

        return list(below("", 0))

    def _add_spans(self, data: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            about = {each.key: _value(each.value) for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Seen(
                            about["service.name"],
                            span.name,
                            KINDS[span.kind],
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            {each.key: _value(each.value) for each in span.attributes},
                            tuple(link.trace_id.hex() for link in span.links),
                            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
                            span.start_time_unix_nano,
                            error=span.status.code == span.status.STATUS_CODE_ERROR,
                            everything=f"{resource.resource} {span}",
                        )
                    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Receive spans while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            collector._add_spans(
                gzip.decompress(data) if self.headers["Content-Encoding"] == "gzip" else data
            )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


async def until_spans_stop(collector: Collector) -> None:
    """Wait until no span has arrived for two seconds; services export every second."""
    known = -1
    while known != len(collector.spans):
        known = len(collector.spans)
        await asyncio.sleep(2)

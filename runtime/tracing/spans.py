"""Spans of requests, records and queries. Tracing is off by default and then costs almost nothing.

All spans are created here. They contain only ids, codes and our own words, so that no personal data leaves
the process. docs/decisions/0015 explains why no instrumentation library is used.
"""

import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bind_contextvars, reset_contextvars

from contracts import headers as h
from runtime import VERSION
from runtime.current_service import current_service
from runtime.failures import Failure
from runtime.settings import Tracing

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]

# True if the current span is about one record or request, not about a batch.
_IS_SINGLE: Final = contexts.create_key("fastcore.one")
# The span of each record of the current batch, by topic, partition and offset.
_RECORD_SPANS: Final = contexts.create_key("fastcore.records")
_W3C: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The correlation ids that the gateway accepts. Other producers may write anything.
_CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")

# The tracer of each service in this process.
_tracers: dict[str, Tracer] = {}


def enabled() -> bool:
    """Return True if spans are created."""
    return bool(_tracers)


def _current_tracer() -> Tracer | None:
    if not _tracers:
        return None
    if len(_tracers) > 1:
        return _tracers.get(current_service())
    return next(iter(_tracers.values()))


@asynccontextmanager
async def export_spans(settings: Tracing, service: str) -> AsyncIterator[None]:
    """Create and export spans while the context lasts, if the settings name a collector."""
    if not settings.exporter_otlp_endpoint:
        yield
        return
    # Imported here: without a collector the SDK would cost a quarter of a second and memory for nothing.
    from runtime.tracing import otlp  # noqa: PLC0415

    provider = otlp.open_provider(settings.exporter_otlp_endpoint, service)
    _tracers[service] = provider.get_tracer("fastcore", VERSION)
    try:
        yield
    finally:
        _tracers.pop(service, None)
        await otlp.close_provider(provider)


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """Run the body in a child span of the current span."""
    tracer = _current_tracer()
    if tracer is None:
        yield INVALID_SPAN
        return
    with _start_span(tracer, name, kind, contexts.get_current(), {}) as new_span:
        yield new_span


@contextmanager
def producer_span(topic: str, headers: h.Headers, key: bytes | None) -> Iterator[h.Headers]:
    """Run the body in a producer span. Yields the headers with the span's `traceparent`, for the consumer.

    If the current span belongs to a single record, it is the parent. In any other case, the parent is the
    span in the `traceparent` of `headers`.
    """
    tracer = _current_tracer()
    if tracer is None:
        yield headers
        return
    parent = contexts.get_current() if contexts.get_value(_IS_SINGLE) else _parent_context(headers)
    attributes = {**_messaging_attributes("send", topic), **_lead_attribute(key)}
    with _start_span(tracer, f"send {topic}", SpanKind.PRODUCER, parent, attributes) as new_span:
        traceparent = _traceparent_of_span(new_span)
        others = [header for header in headers if header[0] != h.TRACEPARENT]
        yield [*others, (h.TRACEPARENT, traceparent.encode())] if traceparent else headers


@contextmanager
def consumer_span(records: "Sequence[Record]") -> Iterator[None]:
    """Create a consumer span for each record, as a child of the span that sent it, and run the body.

    With one record, the record's span is the current span. So the spans of queries belong to the record's
    trace. With several records, the current span is a new batch span, which links to the records' spans
    (OpenTelemetry's messaging conventions). The spans of queries belong to the batch span.
    """
    tracer = _current_tracer()
    if tracer is None:
        yield
        return
    spans = {_position(record): _start_record_span(tracer, record, len(records)) for record in records}
    recording = [each for each in spans.values() if each.is_recording()]
    batch_span = recording[0] if len(records) == 1 and recording else INVALID_SPAN
    if len(records) > 1 and recording:
        links = [Link(each.get_span_context()) for each in recording]
        attributes: Any = {"messaging.system": "kafka", "messaging.batch.message_count": len(records)}
        batch_span = tracer.start_span("process batch", Context(), SpanKind.CONSUMER, attributes, links)
        for each in recording:
            each.add_link(batch_span.get_span_context())
    context = contexts.set_value(_RECORD_SPANS, spans, set_span_in_context(batch_span))
    token = contexts.attach(contexts.set_value(_IS_SINGLE, len(records) == 1, context))
    try:
        yield
    except BaseException as error:
        for each in {batch_span, *recording}:
            _set_error(each, error)
        raise
    finally:
        contexts.detach(token)
        for each in {batch_span, *recording}:
            each.end()


@contextmanager
def record_context(record: "Record") -> Iterator[None]:
    """Run the body with this record's ids in its logs, and with the record's span as the current one."""
    lead = _lead_attribute(record.key)
    ids = {"lead_id": lead["fastcore.lead_id"]} if lead else {}
    correlation_id = h.text(record.headers, h.CORRELATION_ID) or ""
    if _CORRELATION_ID.fullmatch(correlation_id):
        ids["correlation_id"] = correlation_id
    bound = bind_contextvars(**ids)  # half of the time of bound_contextvars
    spans: Any = contexts.get_value(_RECORD_SPANS)
    record_span = spans.get(_position(record)) if spans else None
    token = record_span and contexts.attach(
        contexts.set_value(_IS_SINGLE, True, set_span_in_context(record_span))
    )
    try:
        yield
    finally:
        if token:
            contexts.detach(token)
        reset_contextvars(**bound)


def traceparent_of(headers: h.Headers | tuple[tuple[str, bytes], ...]) -> str | None:
    """Return the `traceparent` of these headers, or None if it is missing or malformed.

    Only version 00 of W3C's Trace Context is accepted. Also works while tracing is off.
    """
    value = h.text(headers, h.TRACEPARENT) or ""
    return value if _TRACEPARENT.fullmatch(value) else None


@contextmanager
def client_span(name: str, traceparent: str | None) -> Iterator[str | None]:
    """Run the body in a client span. Yields the span's `traceparent`, for the header of the request.

    The parent is the span in `traceparent`. If `traceparent` is None, the span begins a new trace. While
    tracing is off, the argument `traceparent` is yielded unchanged.
    """
    tracer = _current_tracer()
    if tracer is None:
        yield traceparent
        return
    parent = _parent_context([(h.TRACEPARENT, traceparent.encode())] if traceparent else [])
    with _start_span(tracer, name, SpanKind.CLIENT, parent, {}) as new_span:
        yield _traceparent_of_span(new_span)


def set_attributes(**attributes: str | int | bool) -> None:
    """Set attributes of the current span, each as `fastcore.<name>`."""
    tracer = _current_tracer()
    if tracer is not None:
        get_current_span().set_attributes({f"fastcore.{name}": value for name, value in attributes.items()})


def record_query(name: str, seconds: float, error: BaseException | None) -> None:
    """Create a span for a query that has just ended.

    Without a current span (as in idle polling), do nothing.
    """
    tracer = _current_tracer()
    if tracer is None or not get_current_span().is_recording():
        return
    end = time.time_ns()
    attributes = {"db.system.name": "postgresql", "db.query.summary": name}
    query_span = tracer.start_span(
        name, kind=SpanKind.CLIENT, attributes=attributes, start_time=end - int(seconds * 1e9)
    )
    if error is not None:
        _set_error(query_span, error)
    query_span.end(end)


@contextmanager
def server_span(method: str, headers: h.Headers) -> Iterator[Span]:
    """Run the body in a server span. Its parent is the span in the `traceparent` of the request's headers."""
    tracer = _current_tracer()
    if tracer is None:
        yield INVALID_SPAN
        return
    attributes = {"http.request.method": method}
    with _start_span(tracer, method, SpanKind.SERVER, _parent_context(headers), attributes) as new_span:
        token = contexts.attach(contexts.set_value(_IS_SINGLE, True))
        try:
            yield new_span
        finally:
            contexts.detach(token)


@contextmanager
def _start_span(
    tracer: Tracer, name: str, kind: SpanKind, parent: Context, attributes: dict[str, Any]
) -> Iterator[Span]:
    # The SDK would put an exception's text and traceback into the span.
    with tracer.start_as_current_span(
        name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as new_span:
        try:
            yield new_span
        except BaseException as error:
            _set_error(new_span, error)
            raise


def _set_error(failed_span: Span, error: BaseException) -> None:
    failed_span.set_status(StatusCode.ERROR, error.reason if isinstance(error, Failure) else None)
    failed_span.set_attribute("error.type", type(error).__qualname__)
    if state := getattr(error, "sqlstate", None):
        failed_span.set_attribute("db.response.status_code", str(state))


def _start_record_span(tracer: Tracer, record: "Record", count: int) -> Span:
    attributes = {
        **_messaging_attributes("process", record.topic),
        **_lead_attribute(record.key),
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.batch.message_count": count,
    }
    parent = _parent_context(record.headers)
    return tracer.start_span(f"process {record.topic}", parent, SpanKind.CONSUMER, attributes)


def _messaging_attributes(operation: str, topic: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }


def _lead_attribute(key: bytes | None) -> dict[str, str]:
    # A key is a lead's id, unless another producer has written the record.
    text = (key or b"").decode("latin-1")
    return {"fastcore.lead_id": text} if _UUID.fullmatch(text) else {}


def _parent_context(headers: Any) -> Context:
    traceparent = h.text(headers, h.TRACEPARENT)
    return _W3C.extract({h.TRACEPARENT: traceparent} if traceparent else {}, Context())


def _traceparent_of_span(of: Span) -> str | None:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(of, Context()))
    return carrier.get(h.TRACEPARENT)


def _position(record: "Record") -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset

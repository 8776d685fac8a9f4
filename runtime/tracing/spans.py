"""Traces: the way of one record, span by span, to an OTLP collector. Off, and next to nothing, by default.

Spans are made here and nowhere else: they hold ids, codes and our own words, never what a person typed,
a parameter of SQL, a URL's query or a driver's text (docs/decisions/0015 says why no library makes them).
"""

import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

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
from structlog.contextvars import bound_contextvars

from contracts import headers as h
from runtime import VERSION
from runtime.failures import Failure
from runtime.settings import Tracing

if TYPE_CHECKING:
    from runtime.kafka.handler import Record

# True where the current span is about one record or request, not about a batch of them.
_ONE: Final = contexts.create_key("fastcore.one")
# The span of each record of the batch in hand, by where it was read.
_RECORDS: Final = contexts.create_key("fastcore.records")
_W3C: Final = TraceContextTextMapPropagator()
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What the gateway lets through; whoever else writes to the topic may put anything there.
_CORRELATION: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")

_tracer: Tracer | None = None


def enabled() -> bool:
    """Return True where spans are made."""
    return _tracer is not None


@asynccontextmanager
async def export_spans(settings: Tracing, service: str) -> AsyncIterator[None]:
    """Make spans while the context lasts, where a collector is named; the last ones are sent at its end."""
    global _tracer  # noqa: PLW0603 - one process, one tracer; a test opens another
    if not settings.exporter_otlp_endpoint:
        yield
        return
    # Imported here: nobody without a collector pays for the SDK, a quarter of a second and its memory.
    from runtime.tracing import otlp  # noqa: PLC0415

    provider = otlp.open_provider(settings.exporter_otlp_endpoint, service)
    _tracer = provider.get_tracer("fastcore", VERSION)
    try:
        yield
    finally:
        _tracer = None
        await otlp.close(provider)


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """Make the body a span under the current one."""
    if _tracer is None:
        yield INVALID_SPAN
        return
    with _started(_tracer, name, kind, contexts.get_current(), {}) as made:
        yield made


def producer_span(topic: str, headers: h.Headers, key: bytes | None) -> AbstractContextManager[h.Headers]:
    """Make the body a producer's span; yields the headers with its `traceparent`, for who reads the record.

    It hangs under the span in hand where that is about one record, else under what the headers name.
    """
    return nullcontext(headers) if _tracer is None else _sending(_tracer, topic, headers, key)


@contextmanager
def _sending(tracer: Tracer, topic: str, headers: h.Headers, key: bytes | None) -> Iterator[h.Headers]:
    parent = contexts.get_current() if contexts.get_value(_ONE) else _named_by(headers)
    attributes = {**_messaging("send", topic), **_lead(key)}
    with _started(tracer, f"send {topic}", SpanKind.PRODUCER, parent, attributes) as made:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(made, Context()))
        named = carrier.get(h.TRACEPARENT)
        kept = [header for header in headers if header[0] != h.TRACEPARENT]
        yield [*kept, (h.TRACEPARENT, named.encode())] if named else headers


@contextmanager
def consumer_span(records: "Sequence[Record]") -> Iterator[None]:
    """Make the body a consumer's span of each record, under the one who sent it.

    A batch of one is its record's span, so its SQL is in the record's trace. A larger one is a trace of
    its own that holds the SQL; it and the records' spans are linked, as the conventions say.
    """
    if _tracer is None:
        yield
        return
    spans = {_place(record): _begin(_tracer, record, len(records)) for record in records}
    seen = [made for made in spans.values() if made.is_recording()]
    whole = seen[0] if len(records) == 1 and seen else INVALID_SPAN
    if len(records) > 1 and seen:
        links = [Link(made.get_span_context()) for made in seen]
        counted: dict[str, Any] = {"messaging.system": "kafka", "messaging.batch.message_count": len(records)}
        whole = _tracer.start_span("process batch", Context(), SpanKind.CONSUMER, counted, links)
        for made in seen:
            made.add_link(whole.get_span_context())
    context = contexts.set_value(_RECORDS, spans, set_span_in_context(whole))
    token = contexts.attach(contexts.set_value(_ONE, len(records) == 1, context))
    try:
        yield
    except BaseException as error:
        for made in {whole, *seen}:
            _failed(made, error)
        raise
    finally:
        contexts.detach(token)
        for made in {whole, *seen}:
            made.end()


@contextmanager
def record_context(record: "Record") -> Iterator[None]:
    """Do the body for this one record: its logs and spans say so."""
    said = _lead(record.key)
    named = {"lead_id": said["fastcore.lead_id"]} if said else {}
    correlation_id = h.text(record.headers, h.CORRELATION_ID) or ""
    if _CORRELATION.fullmatch(correlation_id):
        named["correlation_id"] = correlation_id
    with bound_contextvars(**named):
        spans: Any = contexts.get_value(_RECORDS)
        made = spans.get(_place(record)) if spans else None
        if made is None:
            yield
            return
        token = contexts.attach(contexts.set_value(_ONE, True, set_span_in_context(made)))
        try:
            yield
        finally:
            contexts.detach(token)


def set_attributes(**attributes: str | int | bool) -> None:
    """Say something of the current span: `fastcore.<name>`."""
    if _tracer is not None:
        get_current_span().set_attributes({f"fastcore.{name}": value for name, value in attributes.items()})


def note_query(name: str, seconds: float, error: BaseException | None) -> None:
    """Make a span of a query that has just ended, where somebody's span is current: idle polling has none."""
    if _tracer is None or not get_current_span().is_recording():
        return
    end = time.time_ns()
    attributes = {"db.system.name": "postgresql", "db.query.summary": name}
    made = _tracer.start_span(
        name, kind=SpanKind.CLIENT, attributes=attributes, start_time=end - int(seconds * 1e9)
    )
    if error is not None:
        _failed(made, error)
    made.end(end)


@contextmanager
def server_span(method: str, headers: h.Headers) -> Iterator[Span]:
    """Make the body a server's span, under the caller's `traceparent`."""
    if _tracer is None:
        yield INVALID_SPAN
        return
    attributes = {"http.request.method": method}
    with _started(_tracer, method, SpanKind.SERVER, _named_by(headers), attributes) as made:
        token = contexts.attach(contexts.set_value(_ONE, True))
        try:
            yield made
        finally:
            contexts.detach(token)


@contextmanager
def _started(
    tracer: Tracer, name: str, kind: SpanKind, parent: Context, attributes: dict[str, Any]
) -> Iterator[Span]:
    # The SDK would put an exception's text and stack into the span.
    with tracer.start_as_current_span(
        name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException as error:
            _failed(made, error)
            raise


def _failed(made: Span, error: BaseException) -> None:
    made.set_status(StatusCode.ERROR, error.reason if isinstance(error, Failure) else None)
    made.set_attribute("error.type", type(error).__qualname__)
    if state := getattr(error, "sqlstate", None):
        made.set_attribute("db.response.status_code", str(state))


def _begin(tracer: Tracer, record: "Record", count: int) -> Span:
    attributes = {
        **_messaging("process", record.topic),
        **_lead(record.key),
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.batch.message_count": count,
    }
    parent = _named_by(record.headers)
    return tracer.start_span(f"process {record.topic}", parent, SpanKind.CONSUMER, attributes)


def _messaging(operation: str, topic: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }


def _lead(key: bytes | None) -> dict[str, str]:
    # A key is a lead's id; anybody may have written the record.
    text = (key or b"").decode("latin-1")
    return {"fastcore.lead_id": text} if _UUID.fullmatch(text) else {}


def _named_by(headers: Any) -> Context:
    named = h.text(headers, h.TRACEPARENT)
    return _W3C.extract({h.TRACEPARENT: named} if named else {}, Context())


def _place(record: "Record") -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset

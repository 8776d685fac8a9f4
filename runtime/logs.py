"""Structured JSON logs on standard output, with service, action and ids, and without personal data."""

import logging
import logging.config
import sys
import traceback
from typing import Any, Final

import structlog
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from structlog.typing import EventDict, WrappedLogger

from runtime.current_service import current_service
from runtime.worker import current_worker

PROCESS: Final = "fastcore"


def _add_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the type and the traceback of an exception to the entry, never its text.

    The text of a database or validation error contains the row or the input: personal data.
    """
    info = event.pop("exc_info", None)
    if not info:
        return event
    error = (
        info
        if isinstance(info, BaseException)
        else (info[1] if isinstance(info, tuple) else sys.exc_info()[1])
    )
    if error is not None:
        event["error"] = f"{type(error).__module__}.{type(error).__qualname__}"
        event["where"] = [
            f"{frame.filename.rpartition('/site-packages/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-8:]
        ]
        if error.__cause__ is not None:
            event["cause"] = type(error.__cause__).__qualname__
    return event


def _add_span_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the ids of the current span to the entry, if there is one."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format_trace_id(context.trace_id)
        event["span_id"] = format_span_id(context.span_id)
    return event


def _drop_colors(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Remove uvicorn's copy of the message for a terminal: it contains escape sequences."""
    event.pop("color_message", None)
    return event


def logs_each_lead() -> bool:
    """Return True if the level is DEBUG: only then there is a line for each lead, because each costs CPU."""
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def configure(service: str, level: str) -> None:
    """Configure one JSON formatter for our own and the libraries' logs.

    Entries have the name of the service. If the process runs several services, they have the name of the
    current one, and `PROCESS` outside of any service, as in the shared producer. If several workers share
    the port of the service, entries have the number of their worker.
    """
    worker = current_worker()
    number = {"worker": worker.number} if worker else {}
    process = PROCESS if current_service() else service
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_span_ids,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _drop_colors,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_exception,
    ]

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"service": current_service() or process, **number, **event}

    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        add_service,
                        structlog.processors.JSONRenderer(),
                    ],
                }
            },
            "handlers": {
                "stdout": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": "json",
                }
            },
            "root": {"handlers": ["stdout"], "level": level},
            "loggers": {
                # At DEBUG these print keys, values and parameters: personal data.
                name: {"level": max(logging.INFO, logging.getLevelName(level))}
                for name in ("asyncpg", "aiosmtplib", "httpcore", "faststream", "opentelemetry")
            },
        }
    )
    for name in ("httpx", "apscheduler"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # While the broker is unavailable it writes 45 ERROR lines a second; readiness and our WARNING report it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logger(action: str | None = None) -> Any:
    """Return a logger. If `action` is given, every entry contains it."""
    log = structlog.stdlib.get_logger("fastcore")
    return log.bind(action=action) if action else log

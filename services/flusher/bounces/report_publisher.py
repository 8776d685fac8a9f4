"""Publishes the events of a report to `mail.events.v1`."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from contracts import headers as h
from contracts import topics
from contracts.mail_events import MailEvent
from runtime.kafka.publisher import Publisher
from services.flusher.bounces.reports import Report, read_report

SEND_SECONDS: Final = 10.0


async def publish_report(publisher: Publisher, content: bytes) -> Report:
    """Return what a message says, once Kafka has acknowledged all of its events.

    Raises `DependencyUnavailable`. Publishing a report again is harmless: its events have the same ids.
    """
    report = read_report(content, datetime.now(UTC))
    await asyncio.gather(*(_publish(publisher, event) for event in report.events))
    return report


async def _publish(publisher: Publisher, event: MailEvent) -> None:
    await publisher.send(
        topics.MAIL_EVENTS.name,
        key=event.key,
        value=event.model_dump_json().encode(),
        headers=[(h.CONTENT_TYPE, b"application/json")],
        seconds=SEND_SECONDS,
    )

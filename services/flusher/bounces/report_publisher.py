"""Publishes the events of a report to `mail.events.v1`."""

from datetime import UTC, datetime

from runtime.kafka.mail_event_publisher import MailEventPublisher
from runtime.kafka.publisher import Publisher
from services.flusher.bounces.reports import Report, read_report


async def publish_report(publisher: Publisher, content: bytes) -> Report:
    """Return what a message says, once Kafka has acknowledged all of its events.

    Raises `DependencyUnavailable`. Publishing a report again is harmless: its events have the same ids.
    """
    report = read_report(content, datetime.now(UTC))
    await MailEventPublisher(publisher).publish(report.events)
    return report

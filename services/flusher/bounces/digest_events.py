"""Turns the event of a digest (a bounce or a complaint) into one event for each alert that it listed."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from contracts.mail_events import MailEvent
from runtime.database.postgres import Pool, autocommit, load_queries
from runtime.kafka.mail_event_publisher import MailEventPublisher
from runtime.kafka.publisher import Publisher

_SQL: Any = load_queries(Path(__file__).with_name("digest_events.sql"))


class DigestEvents:
    """Publishes the bounce or complaint of a digest email once for each alert that the digest listed.

    A digest lists 150 alerts at most. The events go to `mail.events.v1`, and are processed like the events
    of single emails. After a crash the events are published again, with the same ids.
    """

    def __init__(self, pool: Pool, publisher: Publisher) -> None:
        self._pool = pool
        self._publisher = MailEventPublisher(publisher)

    async def publish(self, event: MailEvent) -> int:
        """Return the number of alerts, once Kafka has acknowledged all their events.

        An alert that has been sent again by itself has another Message-ID, and gets no event. Raises
        `DependencyUnavailable`.
        """
        async with autocommit(self._pool) as connection:
            lead_ids = [
                row["lead_id"] async for row in _SQL.listed_alerts(connection, digest_id=str(event.digest_id))
            ]
        await self._publisher.publish([alert_event(event, each) for each in lead_ids])
        return len(lead_ids)


def alert_event(event: MailEvent, lead_id: UUID) -> MailEvent:
    """Return the event of one alert that the digest of `event` listed."""
    changes = {"event_id": uuid5(event.event_id, str(lead_id)), "lead_id": lead_id, "kind": "admin_alert"}
    return event.model_copy(update=changes)

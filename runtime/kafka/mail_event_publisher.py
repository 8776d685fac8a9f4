"""Publishes what became of sent emails to `mail.events.v1`: the events of providers, reports and digests."""

import asyncio
from collections.abc import Sequence

from contracts import headers, topics
from contracts.mail_events import MailEvent
from runtime.kafka.publisher import Publisher


class MailEventPublisher:
    """Publishes mail events, each within `seconds`."""

    def __init__(self, kafka: Publisher, seconds: float = 10.0) -> None:
        self._kafka = kafka
        self._seconds = seconds

    async def publish(self, events: Sequence[MailEvent]) -> None:
        """Return once every in-sync replica has all events. Raises `DependencyUnavailable`.

        If some were written, repeating all of them is harmless: their ids are the same.
        """
        await asyncio.gather(*map(self._publish, events))

    async def _publish(self, event: MailEvent) -> None:
        await self._kafka.send(
            topics.MAIL_EVENTS.name,
            key=event.key,
            value=event.model_dump_json().encode(),
            headers=[(headers.CONTENT_TYPE, b"application/json")],
            seconds=self._seconds,
        )

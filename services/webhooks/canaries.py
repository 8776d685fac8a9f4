"""Sends each canary to the test path of its destinations, and writes the results.

A destination without `canary_url` gets nothing: its request is only built. No event and no delivery exists.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from contracts.lead_events import RECEIVED, LeadEvent, event_id_for
from contracts.leads import LeadReceived
from runtime.canary_queue import CanaryQueue
from runtime.database.canaries import CanaryResult, CanaryResults
from runtime.database.postgres import Pool
from runtime.kafka.handler import Record
from services.webhooks.body_template import BodyTemplateError
from services.webhooks.client import DestinationClient
from services.webhooks.destinations import Destinations
from services.webhooks.outcome import Result
from services.webhooks.requests import build_request

NOT_SENT = "built, not sent: the destination has no canary_url"


class CanaryDeliveries:
    """Handles canaries beside the leads."""

    def __init__(
        self, pool: Pool, client: DestinationClient, destinations: Destinations, admin_url: str
    ) -> None:
        self._results = CanaryResults(pool)
        self._client = client
        self._destinations = destinations
        self._admin_url = admin_url
        self.queue = CanaryQueue(self.handle)

    async def handle(self, _record: Record, canary: LeadReceived) -> None:
        """Build the request for each destination of the canary's site, send it, and write the results."""
        await self._results.write(CanaryResult(canary.lead_id, "webhooks"))
        names = self._destinations.receiving(canary.site, RECEIVED)
        await asyncio.gather(*(self._test(canary, name) for name in names))

    async def _test(self, canary: LeadReceived, name: str) -> None:
        # Each on its own: a destination that hangs does not delay what the others answered.
        await self._results.write(await self._deliver(canary, name))

    async def _deliver(self, canary: LeadReceived, name: str) -> CanaryResult:
        destination, hop = self._destinations.by_name[name], f"destination:{name}"
        site = self._destinations.sites.display_name(canary.site)
        body = LeadEvent.received(canary, site).model_dump_json()
        event_id, now = event_id_for(canary.lead_id, RECEIVED), datetime.now(UTC)
        try:
            request = build_request(destination, str(event_id), body, now, self._admin_url)
        except BodyTemplateError as error:
            return CanaryResult(canary.lead_id, hop, f"the template failed: {error}")
        if request is None or not destination.canary_url:
            return CanaryResult(canary.lead_id, hop, note=NOT_SENT)
        outcome = await self._client.send(replace(request, url=destination.canary_url), now)
        failed = outcome.result is not Result.DELIVERED
        return CanaryResult(canary.lead_id, hop, (outcome.reason or outcome.result) if failed else "")

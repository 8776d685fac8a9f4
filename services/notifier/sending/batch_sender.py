"""Sends the mails of one batch over several connections, at a rate that the provider accepts."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from runtime.failures import DependencyUnavailable
from services.notifier.deliveries import Delivery, Key
from services.notifier.mail.alert import NO_OTHER_LEADS, OtherLeads
from services.notifier.sending.mail_sender import MailSender
from services.notifier.sending.pacing import Pacing
from services.notifier.smtp.outcome import MailStatus

# After this time no further mail of a batch is started, and Kafka redelivers the batch for the rest. Without
# this limit the watchdog could end the process: it does so after 30 minutes without progress.
BATCH_SECONDS: Final = 600.0


class BatchSender:
    """Sends mails concurrently.

    After a dependency failure, after `BATCH_SECONDS`, or once the service stops, it starts no more mails.
    """

    def __init__(
        self,
        sender: MailSender,
        deliveries: Sequence[Delivery],
        other_leads: Mapping[UUID, OtherLeads],
        connections: asyncio.Semaphore,
        pacing: Pacing,
        stopping: asyncio.Event,
    ) -> None:
        """Set the mails to send. `other_leads` are those of the person of each lead, by lead id."""
        self._sender = sender
        self._queue = deque(deliveries)
        self._other_leads = other_leads
        self._started = dict[Key, Delivery]()
        self._errors = list[Exception]()
        self._connections = connections
        self._pacing = pacing
        self._stopping = stopping
        self._deadline = asyncio.get_running_loop().time() + BATCH_SECONDS

    @property
    def uncommitted(self) -> list[Delivery]:
        """Return the mails whose outcome is not committed."""
        return [*self._started.values(), *self._queue]

    async def run(self, workers: int) -> None:
        """Send the mails in `workers` concurrent tasks.

        Errors are stored. Call `raise_error` afterwards to raise them.
        """
        await asyncio.gather(*(self._work() for _ in range(workers)))

    def raise_error(self) -> None:
        """Raise an error if the outcome of any mail is not committed.

        Raises an error that `run` stored, preferably a `DependencyUnavailable`. If `run` stored no error but
        did not start all mails, raises a new `DependencyUnavailable`.
        """
        for error in sorted(self._errors, key=lambda each: not isinstance(each, DependencyUnavailable)):
            raise error
        if self._queue and self._stopping.is_set():
            raise DependencyUnavailable("stop", "the service is stopping")
        if self._queue:
            raise DependencyUnavailable(
                "smtp", "the batch takes too long: Kafka redelivers the remaining mails"
            )

    def _is_over(self) -> bool:
        late = asyncio.get_running_loop().time() > self._deadline
        if not self._queue or late or self._stopping.is_set():
            return True
        return any(isinstance(error, DependencyUnavailable) for error in self._errors)

    async def _work(self) -> None:
        while not self._is_over():
            try:
                await self._send_next()
            except Exception as error:  # noqa: BLE001 - raised after the other mails are sent
                self._errors.append(error)

    async def _send_next(self) -> None:
        async with self._connections:
            async with self._pacing.slot():
                if self._is_over():
                    return
                delivery, started_at = self._queue.popleft(), self._pacing.start()
            self._started[delivery.key] = delivery
            others = self._other_leads.get(delivery.lead.lead_id, NO_OTHER_LEADS)
            outcome = await self._sender.attempt(delivery, started_at, others)
        # The connection is free here: the next mail is sent while this outcome is committed.
        if outcome.status is MailStatus.THROTTLED:
            await self._sender.return_to_reserved(delivery)
            self._queue.append(delivery)
        else:
            await self._sender.commit_outcome(delivery, outcome)
        del self._started[delivery.key]

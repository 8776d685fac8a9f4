"""Fakes of what the notifier's handler uses. fake_conformance runs the same cases on both."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final
from uuid import UUID

from contracts.failures import Kind
from runtime.database.circuit_breaker import LIMIT
from runtime.failures import DependencyUnavailable
from services.notifier.batch_plan import BatchPlan
from services.notifier.deliveries import KINDS, DecodedBatch, Delivery, Key
from services.notifier.mail.message import Mail
from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase

SENT: Final = MailOutcome(MailStatus.SENT, "smtp 250", Phase.BODY, 250)


class FakeStore:
    """Keeps rows in memory, all reserved by this process: resumes mails in progress, sends the rest."""

    def __init__(self) -> None:
        self.outcomes: dict[Key, MailStatus] = {}
        self.released: list[Key] = []
        self.error: Exception | None = None

    async def reserve(
        self, batch: DecodedBatch, records: Sequence[Any], in_progress: Collection[Key]
    ) -> BatchPlan:
        plan = BatchPlan()
        for record, each in batch.leads:
            for kind in KINDS:
                delivery = Delivery(record, each, kind, retry=False)
                if delivery.key in self.outcomes:
                    continue
                if delivery.key in in_progress:
                    plan.resumed.append(delivery)
                else:
                    plan.reserved.append(delivery)
        return plan

    async def begin_sending(self, delivery: Delivery) -> None: ...

    async def release(self, deliveries: Collection[tuple[Delivery, bool]]) -> None:
        self.released += [delivery.key for delivery, _ in deliveries]

    async def write_outcome(self, delivery: Delivery, outcome: MailOutcome) -> str | None:
        if self.error:
            raise self.error
        assert delivery.key not in self.outcomes
        self.outcomes[delivery.key] = outcome.status
        return str(outcome.status)


class FakeMailer:
    """Returns an outcome by recipient. A cleared `gate` blocks every mail."""

    def __init__(self) -> None:
        self.outcomes: dict[str, MailOutcome] = {}
        self.sent: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    async def send(
        self,
        mail: Mail,
        before_body: Callable[[], Awaitable[None]],
        review: Callable[[MailOutcome], MailOutcome] = lambda outcome: outcome,
    ) -> MailOutcome:
        outcome = review(self.outcomes.get(mail.recipients[0], SENT))
        if outcome.phase is Phase.BODY:
            await before_body()
        self.arrived.set()
        await self.gate.wait()
        self.sent.append(mail.recipients[0])
        return outcome


class FakePublisher:
    def __init__(self) -> None:
        self.failures: list[tuple[Kind, bool]] = []
        self.error: Exception | None = None

    async def publish(
        self, record: Any, kind: Kind, reason: str, error: str, *, final: bool, queue_id: UUID | None
    ) -> None:
        if self.error:
            raise self.error
        self.failures.append((kind, final))


class FakeBreaker:
    """Counts dead mails, and opens at `limit`."""

    def __init__(self) -> None:
        self.dead, self.limit = 0, LIMIT

    async def check(self) -> None:
        if self.dead >= self.limit:
            raise DependencyUnavailable("breaker", "dead")

    def count(self, *, good: int = 0, dead: int = 0) -> None:
        self.dead += dead

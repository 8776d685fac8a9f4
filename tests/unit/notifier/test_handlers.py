"""What the notifier remembers between two deliveries of a batch, with the world played by fakes."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest

from contracts.failures import Kind
from contracts.leads import LeadReceived
from runtime.database.breaker import CircuitBreaker
from runtime.failures import DependencyUnavailable
from runtime.kafka.failure_publisher import FailurePublisher
from services.notifier.batch_plan import KINDS, Arrangement, Delivery, Key, Reading
from services.notifier.handlers import Handler
from services.notifier.mail.message import Identity, Mail
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import Outcome, Phase, Verdict
from services.notifier.smtp.token_bucket import TokenBucket
from services.notifier.store import Store
from tests.support.factories import lead
from tests.unit.notifier.test_plan import FakeRecord

IDENTITY = Identity("hello@fast.example", "FAST", ("boss@fast.example",))
SENT = Outcome(Verdict.SENT, "smtp 250", Phase.BODY, 250)
DEAD = Outcome(Verdict.DEAD, "smtp 550", Phase.RCPT, 550)
AWAY = Outcome(Verdict.WORLD, "smtp silent", Phase.RCPT)


class FakeStore:
    """Rows in memory, all ours: what is in hand is gone on with, the rest is to send."""

    def __init__(self) -> None:
        self.settled: dict[Key, Verdict] = {}
        self.released: list[Key] = []
        self.fault: Exception | None = None

    async def reserve(
        self, reading: Reading, records: Sequence[Any], in_hand: Collection[Key]
    ) -> Arrangement:
        made = Arrangement()
        for record, each in reading.leads:
            for kind in KINDS:
                delivery = Delivery(record, each, kind, retry=False)
                if delivery.key in self.settled:
                    continue
                if delivery.key in in_hand:
                    made.resumed.append(delivery)
                else:
                    made.taken.append(delivery)
        return made

    async def begin_sending(self, delivery: Delivery) -> None: ...

    async def release(self, deliveries: Collection[tuple[Delivery, bool]]) -> None:
        self.released += [delivery.key for delivery, _ in deliveries]

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        if self.fault:
            raise self.fault
        assert delivery.key not in self.settled
        self.settled[delivery.key] = outcome.verdict
        return True


class FakeMailer:
    """Answers by the recipient; `gate` holds every mail up."""

    def __init__(self) -> None:
        self.answers: dict[str, Outcome] = {}
        self.sent: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    async def send(self, mail: Mail, before_data: Callable[[], Awaitable[None]]) -> Outcome:
        await before_data()
        self.arrived.set()
        await self.gate.wait()
        self.sent.append(mail.recipients[0])
        return self.answers.get(mail.recipients[0], SENT)


class FakePublisher:
    def __init__(self) -> None:
        self.failures: list[tuple[Kind, bool]] = []
        self.fault: Exception | None = None

    async def publish(
        self, record: Any, kind: Kind, reason: str, error: str, *, final: bool, queue_id: UUID | None
    ) -> None:
        if self.fault:
            raise self.fault
        self.failures.append((kind, final))


class FakeBreaker:
    """Counts the dead, and opens at so many."""

    def __init__(self) -> None:
        self.dead, self.limit = 0, 100

    async def check(self) -> None:
        if self.dead >= self.limit:
            raise DependencyUnavailable("breaker", "dead")

    def count(self, *, good: int = 0, dead: int = 0) -> None:
        self.dead += dead


class World:
    def __init__(self, connections: int = 4) -> None:
        self.moved = False
        self.store, self.mailer, self.publisher = FakeStore(), FakeMailer(), FakePublisher()
        self.stopping, self.breaker = asyncio.Event(), FakeBreaker()
        self.handler = Handler(
            cast("Store", self.store),
            cast("Mailer", self.mailer),
            cast("FailurePublisher", self.publisher),
            IDENTITY,
            self.stopping,
            cast("CircuitBreaker", self.breaker),
            TokenBucket(),
            connections=connections,
            holds=lambda _topic, _partition: not self.moved,
        )


def records(*leads: LeadReceived) -> list[Any]:
    return [FakeRecord(offset=at, value=each.model_dump_json().encode()) for at, each in enumerate(leads)]


async def test_an_outcome_that_kafka_or_the_database_did_not_take_is_finished_and_not_sent_again() -> None:
    world, given = World(), lead(email="ada@example.com")
    world.mailer.answers["ada@example.com"] = DEAD
    world.publisher.fault = DependencyUnavailable("kafka", "away")
    with pytest.raises(DependencyUnavailable, match="away"):
        await world.handler.handle(records(given))
    world.publisher.fault = None
    world.store.fault = DependencyUnavailable("database", "away")
    with pytest.raises(DependencyUnavailable, match="away"):
        await world.handler.handle(records(given))
    world.store.fault = None
    await world.handler.handle(records(given))
    assert world.store.settled == {
        (given.lead_id, "welcome"): Verdict.DEAD,
        (given.lead_id, "admin_alert"): Verdict.SENT,
    }
    assert sorted(world.mailer.sent) == ["ada@example.com", "boss@fast.example"]
    assert (given.lead_id, "welcome") not in world.store.released


async def test_a_mail_whose_batch_is_cancelled_is_finished_and_its_outcome_used() -> None:
    world, given = World(), lead()
    world.mailer.gate.clear()
    batch = asyncio.create_task(world.handler.handle(records(given)))
    await world.mailer.arrived.wait()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert world.store.released == []
    again = asyncio.create_task(world.handler.handle(records(given)))
    await asyncio.sleep(0)
    world.mailer.gate.set()
    await again
    assert len(world.mailer.sent) == 2
    assert set(world.store.settled.values()) == {Verdict.SENT}


async def test_after_a_fault_of_the_world_no_other_mail_is_begun_and_the_rest_is_given_back() -> None:
    world = World(connections=1)
    leads = [lead(email=f"{at}@example.com") for at in range(5)]
    world.mailer.answers["2@example.com"] = AWAY
    with pytest.raises(DependencyUnavailable, match="smtp silent"):
        await world.handler.handle(records(*leads))
    assert world.mailer.sent[-1] == "2@example.com"
    assert len(world.store.settled) + len(world.store.released) == 10
    assert world.publisher.failures == []


async def test_a_fault_of_the_world_that_is_everybodys_never_becomes_one_mails() -> None:
    world = World()
    leads = [lead(email=f"{at}@example.com") for at in range(3)]
    for address in ["boss@fast.example", *(each.email for each in leads)]:
        world.mailer.answers[address] = AWAY
    for _ in range(10):
        with pytest.raises(DependencyUnavailable):
            await world.handler.handle(records(*leads))
    assert world.publisher.failures == []
    world.mailer.answers.clear()
    await world.handler.handle(records(*leads))
    assert set(world.store.settled.values()) == {Verdict.SENT}


async def test_at_a_stop_no_mail_is_begun_and_nothing_is_committed() -> None:
    world = World()
    world.stopping.set()
    with pytest.raises(DependencyUnavailable, match="stopping"):
        await world.handler.handle(records(lead()))
    assert world.mailer.sent == []
    assert len(world.store.released) == 2


@pytest.mark.parametrize(
    ("verdict", "final"),
    [
        (Verdict.WAITING, {"welcome": False, "admin_alert": False}),
        (Verdict.DEAD, {"welcome": True, "admin_alert": True}),
        (Verdict.UNKNOWN, {"welcome": True, "admin_alert": False}),
    ],
)
async def test_only_what_may_be_sent_again_by_itself_is_not_final(
    verdict: Verdict, final: dict[str, bool]
) -> None:
    world, given = World(), lead(email="ada@example.com")
    outcome = Outcome(verdict, "r", Phase.BODY)
    world.mailer.answers = {"ada@example.com": outcome, "boss@fast.example": outcome}
    await world.handler.handle(records(given))
    assert dict(world.publisher.failures) == final


async def test_a_refused_recipient_does_not_count_for_the_breaker_and_a_refused_body_does() -> None:
    world, given = World(), lead(email="ada@example.com")
    world.mailer.answers["ada@example.com"] = replace(DEAD, phase=Phase.RCPT)
    await world.handler.handle(records(given))
    assert world.breaker.dead == 0
    world.mailer.answers["bob@example.com"] = replace(DEAD, phase=Phase.BODY)
    await world.handler.handle(records(lead(email="bob@example.com")))
    assert world.breaker.dead == 1


async def test_regression_the_breaker_stands_before_each_mail_and_what_was_not_sent_is_given_back() -> None:
    # It counted the dead, and nobody ever asked it.
    world, leads = World(connections=1), [lead(email=f"{at}@example.com") for at in range(6)]
    for at, each in enumerate(leads):  # replies of their own: the same for all would be about us
        world.mailer.answers[each.email] = replace(DEAD, phase=Phase.BODY, code=550 + at)
    world.mailer.answers["boss@fast.example"] = replace(DEAD, phase=Phase.BODY, code=None)
    world.breaker.limit = 3
    for _ in range(2):
        with pytest.raises(DependencyUnavailable, match="dead"):
            await world.handler.handle(records(*leads))
    assert len(world.mailer.sent) == len(world.publisher.failures) == 3
    assert len(world.store.released) == 9 + 9


async def test_regression_a_database_that_forgot_an_outcome_gets_it_again_and_no_mail_is_sent_twice() -> None:
    # After a failover to a standby that lagged the rows were gone, and the record came again.
    world, given = World(), lead(email="ada@example.com")
    world.mailer.answers["ada@example.com"] = DEAD
    await world.handler.handle(records(given))
    settled = dict(world.store.settled)
    world.store.settled.clear()
    await world.handler.handle(records(given))
    assert world.store.settled == settled
    assert len(world.mailer.sent) == 2


async def test_regression_mails_of_partitions_that_moved_are_forgotten() -> None:
    world, given = World(), lead(email="ada@example.com")
    world.mailer.answers["ada@example.com"] = AWAY
    with pytest.raises(DependencyUnavailable):
        await world.handler.handle(records(given))
    assert world.handler._suspects
    world.moved = True
    await world.handler.handle([])
    assert not world.handler._suspects
    assert not list(world.handler._begun)

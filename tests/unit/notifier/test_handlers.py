"""The handler's batches, redelivered ones included, with fakes for all dependencies."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from contracts.leads import LeadReceived
from runtime.database.circuit_breaker import CircuitBreaker
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.failure_publisher import FailurePublisher
from services.notifier.handlers import Handler
from services.notifier.sending.recent_outcomes import RecentOutcomes
from services.notifier.sending.token_bucket import TokenBucket
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase
from services.notifier.store import Store
from tests.support.factories import lead
from tests.support.services.notifier import IDENTITIES, FakeRecord
from tests.support.services.notifier_fakes import FakeBreaker, FakeMailer, FakePublisher, FakeStore

DEAD = MailOutcome(MailStatus.DEAD, "smtp 550", Phase.RCPT, 550)
UNAVAILABLE = MailOutcome(MailStatus.UNAVAILABLE, "smtp silent", Phase.RCPT)


class Environment:
    def __init__(self, connections: int = 4) -> None:
        self.revoked = False
        self.store, self.mailer, self.publisher = FakeStore(), FakeMailer(), FakePublisher()
        self.stopping, self.breaker = asyncio.Event(), FakeBreaker()
        self.handler = Handler(
            cast("Store", self.store),
            cast("Mailer", self.mailer),
            cast("FailurePublisher", self.publisher),
            IDENTITIES,
            self.stopping,
            cast("CircuitBreaker", self.breaker),
            TokenBucket(),
            RecentOutcomes(Health()),
            connections=connections,
            holds=lambda _topic, _partition: not self.revoked,
        )


def records(*leads: LeadReceived) -> list[Any]:
    return [FakeRecord(offset=at, value=each.model_dump_json().encode()) for at, each in enumerate(leads)]


async def test_an_uncommitted_outcome_is_committed_later_without_resending() -> None:
    environment, one = Environment(), lead(email="ada@example.com")
    environment.mailer.outcomes["ada@example.com"] = DEAD
    environment.publisher.error = DependencyUnavailable("kafka", "unavailable")
    with pytest.raises(DependencyUnavailable, match="unavailable"):
        await environment.handler.handle(records(one))
    environment.publisher.error = None
    environment.store.error = DependencyUnavailable("database", "unavailable")
    with pytest.raises(DependencyUnavailable, match="unavailable"):
        await environment.handler.handle(records(one))
    environment.store.error = None
    await environment.handler.handle(records(one))
    assert environment.store.outcomes == {
        (one.lead_id, "welcome"): MailStatus.DEAD,
        (one.lead_id, "admin_alert"): MailStatus.SENT,
    }
    assert sorted(environment.mailer.sent) == ["ada@example.com", "boss@fast.example"]
    assert (one.lead_id, "welcome") not in environment.store.released


async def test_a_mail_of_a_cancelled_batch_is_finished_and_its_outcome_used() -> None:
    environment, one = Environment(), lead()
    environment.mailer.gate.clear()
    batch = asyncio.create_task(environment.handler.handle(records(one)))
    await environment.mailer.arrived.wait()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert environment.store.released == []
    again = asyncio.create_task(environment.handler.handle(records(one)))
    await asyncio.sleep(0)
    environment.mailer.gate.set()
    await again
    assert len(environment.mailer.sent) == 2
    assert set(environment.store.outcomes.values()) == {MailStatus.SENT}


async def test_a_dependency_failure_starts_no_mail_and_releases_the_rest() -> None:
    environment = Environment(connections=1)
    leads = [lead(email=f"{at}@example.com") for at in range(5)]
    environment.mailer.outcomes["2@example.com"] = UNAVAILABLE
    with pytest.raises(DependencyUnavailable, match="smtp silent"):
        await environment.handler.handle(records(*leads))
    assert environment.mailer.sent[-1] == "2@example.com"
    assert len(environment.store.outcomes) + len(environment.store.released) == 10
    assert environment.publisher.failures == []


async def test_a_dependency_failure_of_all_mails_never_fails_one_mail() -> None:
    environment = Environment()
    leads = [lead(email=f"{at}@example.com") for at in range(3)]
    for address in ["boss@fast.example", *(each.email for each in leads)]:
        environment.mailer.outcomes[str(address)] = UNAVAILABLE
    for _ in range(10):
        with pytest.raises(DependencyUnavailable):
            await environment.handler.handle(records(*leads))
    assert environment.publisher.failures == []
    environment.mailer.outcomes.clear()
    await environment.handler.handle(records(*leads))
    assert set(environment.store.outcomes.values()) == {MailStatus.SENT}


async def test_at_a_stop_no_mail_is_started_and_nothing_is_committed() -> None:
    environment = Environment()
    environment.stopping.set()
    with pytest.raises(DependencyUnavailable, match="stopping"):
        await environment.handler.handle(records(lead()))
    assert environment.mailer.sent == []
    assert len(environment.store.released) == 2


@pytest.mark.parametrize(
    ("status", "final"),
    [
        (MailStatus.WAITING, {"welcome": False, "admin_alert": False}),
        (MailStatus.DEAD, {"welcome": True, "admin_alert": True}),
        (MailStatus.UNKNOWN, {"welcome": True, "admin_alert": False}),
    ],
)
async def test_only_failures_that_are_retried_are_not_final(
    status: MailStatus, final: dict[str, bool]
) -> None:
    environment, one = Environment(), lead(email="ada@example.com")
    outcome = MailOutcome(status, "r", Phase.BODY)
    environment.mailer.outcomes = {"ada@example.com": outcome, "boss@fast.example": outcome}
    await environment.handler.handle(records(one))
    assert dict(environment.publisher.failures) == final


async def test_the_breaker_counts_refused_bodies_but_no_recipients() -> None:
    environment, one = Environment(), lead(email="ada@example.com")
    environment.mailer.outcomes["ada@example.com"] = replace(DEAD, phase=Phase.RCPT)
    await environment.handler.handle(records(one))
    assert environment.breaker.dead == 0
    environment.mailer.outcomes["bob@example.com"] = replace(DEAD, phase=Phase.BODY)
    await environment.handler.handle(records(lead(email="bob@example.com")))
    assert environment.breaker.dead == 1


async def test_regression_the_breaker_is_checked_before_each_mail() -> None:
    # The breaker counted dead mails, but was never checked.
    environment, leads = Environment(connections=1), [lead(email=f"{at}@example.com") for at in range(6)]
    for at, each in enumerate(leads):  # different replies, so no refusal streak
        environment.mailer.outcomes[str(each.email)] = replace(DEAD, phase=Phase.BODY, code=550 + at)
    environment.mailer.outcomes["boss@fast.example"] = replace(DEAD, phase=Phase.BODY, code=None)
    environment.breaker.limit = 3
    for _ in range(2):
        with pytest.raises(DependencyUnavailable, match="dead"):
            await environment.handler.handle(records(*leads))
    assert len(environment.mailer.sent) == len(environment.publisher.failures) == 3
    assert len(environment.store.released) == 9 + 9


async def test_regression_a_lost_outcome_is_written_again_without_resending() -> None:
    # After a failover to a lagging standby the rows were lost, and Kafka redelivered the record.
    environment, one = Environment(), lead(email="ada@example.com")
    environment.mailer.outcomes["ada@example.com"] = DEAD
    await environment.handler.handle(records(one))
    outcomes = dict(environment.store.outcomes)
    environment.store.outcomes.clear()
    await environment.handler.handle(records(one))
    assert environment.store.outcomes == outcomes
    assert len(environment.mailer.sent) == 2


async def test_regression_mails_of_revoked_partitions_are_removed() -> None:
    environment, one = Environment(), lead(email="ada@example.com")
    environment.mailer.outcomes["ada@example.com"] = UNAVAILABLE
    with pytest.raises(DependencyUnavailable):
        await environment.handler.handle(records(one))
    assert environment.handler._sender._failures
    environment.revoked = True
    await environment.handler.handle([])
    assert not environment.handler._sender._failures
    assert not list(environment.handler._sender.in_progress)

"""The fakes of the notifier's handler behave like the real parts: the same cases run on both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from contracts.failures import Kind
from runtime.database.circuit_breaker import LIMIT, CircuitBreaker
from runtime.database.postgres import open_pool
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.publisher import open_publisher
from runtime.settings import Kafka, Postgres
from services.notifier.deliveries import Delivery, decode_batch
from services.notifier.mail.message import Mail, compose
from services.notifier.smtp.mailer import open_mailer
from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase
from services.notifier.store import Store
from tests.support.factories import lead
from tests.support.mail.smtp import smtp_server
from tests.support.services.flusher import NoSeekLedger
from tests.support.services.notifier import (
    IDENTITIES,
    IDENTITY,
    FakeRecord,
    notifier_settings,
    published_failures,
    smtp_settings,
)
from tests.support.services.notifier_fakes import SENT, FakeBreaker, FakeMailer, FakePublisher, FakeStore

on_both = pytest.mark.parametrize("kind", ["fake", "real"])
REFUSED = "nobody@fast.example"


@pytest.fixture
async def stack_of_parts() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as parts:
        yield parts


@pytest.fixture
async def store(kind: str, postgres: Postgres, stack_of_parts: AsyncExitStack) -> Any:
    if kind == "fake":
        return FakeStore()
    pool = await stack_of_parts.enter_async_context(open_pool(postgres, "test"))
    return Store(
        pool,
        NoSeekLedger(),
        uuid4(),
        IDENTITIES,
        lease_seconds=50,
        welcomes_per_day=3,
        welcomes_per_site_and_hour=9,
    )


@pytest.fixture
async def breaker(kind: str, postgres: Postgres, stack_of_parts: AsyncExitStack) -> Any:
    if kind == "fake":
        return FakeBreaker()
    pool = await stack_of_parts.enter_async_context(open_pool(postgres, "test"))
    return CircuitBreaker("notifier", pool)


@pytest.fixture
async def mailer(kind: str, stack_of_parts: AsyncExitStack) -> Any:
    refusal = MailOutcome(MailStatus.DEAD, "smtp 550", Phase.RCPT, 550)
    if kind == "fake":
        fake = FakeMailer()
        fake.outcomes[REFUSED] = refusal
        return fake
    server = await stack_of_parts.enter_async_context(smtp_server())
    server.always[f"rcpt:{REFUSED}"] = "550 5.1.1 unknown"
    settings = notifier_settings(
        Kafka(bootstrap_servers="127.0.0.1:1"),
        Postgres(url="postgresql://127.0.0.1:1/none"),
        smtp_settings(server),
    )
    opening = open_mailer(settings, Health(), asyncio.Event())
    return await stack_of_parts.enter_async_context(opening)


async def _reserve(store: Any, record: FakeRecord, *in_progress: Any) -> Any:
    return await store.reserve(decode_batch([record]), [record], in_progress)


def _welcome(deliveries: list[Delivery]) -> Delivery:
    return next(each for each in deliveries if each.kind == "welcome")


@on_both
async def test_mail_is_reserved_until_its_outcome_is_stored(store: Any) -> None:
    record = FakeRecord(value=lead().model_dump_json().encode())
    first = (await _reserve(store, record)).to_send
    assert sorted(each.kind for each in first) == ["admin_alert", "welcome"]
    assert await store.write_outcome(_welcome(first), SENT)
    again = await _reserve(store, record)
    assert [each.kind for each in again.to_send] == ["admin_alert"]


@on_both
async def test_mail_in_progress_is_resumed_not_sent(store: Any) -> None:
    record = FakeRecord(value=lead().model_dump_json().encode())
    first = (await _reserve(store, record)).to_send
    plan = await _reserve(store, record, _welcome(first).key)
    assert [each.kind for each in plan.resumed] == ["welcome"]


@on_both
async def test_released_mail_is_reserved_again(store: Any) -> None:
    record = FakeRecord(value=lead().model_dump_json().encode())
    first = (await _reserve(store, record)).to_send
    await store.release([(each, True) for each in first])
    assert len((await _reserve(store, record)).to_send) == len(first)


@on_both
@pytest.mark.parametrize(("dead", "opens"), [(LIMIT - 1, False), (LIMIT, True)])
async def test_breaker_opens_at_its_limit(breaker: Any, dead: int, opens: bool) -> None:
    breaker.count(good=1, dead=dead)
    with pytest.raises(DependencyUnavailable, match="dead") if opens else contextlib.nullcontext():
        await breaker.check()


def _mail(recipient: str) -> Mail:
    return compose("welcome", lead(email=recipient), IDENTITY, datetime.now(UTC))


@on_both
@pytest.mark.parametrize(
    ("recipient", "status", "code", "calls"),
    [("ada@fast.example", MailStatus.SENT, 250, 1), (REFUSED, MailStatus.DEAD, 550, 0)],
)
async def test_body_is_announced_only_for_accepted_recipient(
    mailer: Any, recipient: str, status: MailStatus, code: int, calls: int
) -> None:
    announced = 0

    async def before_body() -> None:
        nonlocal announced
        announced += 1

    outcome = await mailer.send(_mail(recipient), before_body)
    assert (outcome.status, outcome.code, announced) == (status, code, calls)


@on_both
async def test_failure_is_published_with_kind_and_finality(
    kind: str, kafka: Kafka, stack_of_parts: AsyncExitStack
) -> None:
    record = FakeRecord(value=b"x", key=b"k")
    arguments: tuple[Any, Kind, str, str] = (record, "welcome", "smtp 550", "refused")
    if kind == "fake":
        fake = FakePublisher()
        await fake.publish(*arguments, final=True, queue_id=None)
        assert fake.failures == [("welcome", True)]
        return
    publisher = await stack_of_parts.enter_async_context(open_publisher(kafka, "test", Health()))
    await FailurePublisher(publisher, "notifier", "g", 10).publish(*arguments, final=True, queue_id=None)
    (failed,) = (await published_failures(kafka, 1)).values()
    assert (failed.kind, failed.final) == ("welcome", True)

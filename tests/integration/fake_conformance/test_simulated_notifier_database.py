"""The simulated database answers as PostgreSQL does: the notifier's store runs the same cases on both."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from contracts import headers, topics
from contracts.leads import LeadReceived
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool, transaction
from runtime.failures import DependencyUnavailable
from runtime.settings import Kafka, Postgres
from services.notifier.app import open_identities
from services.notifier.batch_data import load_deliveries
from services.notifier.batch_plan import BatchPlan
from services.notifier.deliveries import Delivery, decode_batch
from services.notifier.recovery.recover_mail_outcomes import MailOutcomeRecovery
from services.notifier.recovery.recovered_outcomes import RecoveredOutcome
from services.notifier.smtp.outcome import PROCESS_DIED, MailOutcome, MailStatus, Phase
from services.notifier.store import Store
from tests.schedules.database.notifier_queries import notifier_statements
from tests.schedules.database.pool import Opener
from tests.schedules.database.server import Database
from tests.schedules.notifier.stage import notifier_settings
from tests.schedules.simulation.event_loop import ENVIRONMENT, VirtualLoop
from tests.schedules.simulation.network import Network
from tests.schedules.simulation.run import run_virtual
from tests.schedules.stage import POSTGRES
from tests.support.factories import lead

on_both = pytest.mark.parametrize("kind", ["simulated", "postgresql"])
SENT = MailOutcome(MailStatus.SENT, "smtp 250 at body", Phase.BODY, 250)
WAITING = MailOutcome(MailStatus.WAITING, "smtp 450 at rcpt", Phase.RCPT, 450)
RECEIVED, RETRY = topics.RECEIVED.name, topics.RETRY_NOTIFIER.name
BOTH = {"welcome", "admin_alert"}


def record(of: LeadReceived, offset: int, retry_of: str = "") -> Any:
    """Return the lead's record, or the record that retries one kind of its mails."""
    return SimpleNamespace(
        topic=RETRY if retry_of else RECEIVED,
        partition=0,
        offset=offset,
        timestamp=1000 + offset,
        key=str(of.lead_id).encode(),
        value=of.model_dump_json().encode(),
        headers=[(headers.KIND, retry_of.encode())] if retry_of else [],
    )


def _no_rules() -> Any:
    raise NotImplementedError  # no test lists an alert in a digest


class Parts:
    """The stores of two processes, on either database. The leases of the second are over at once."""

    def __init__(self, pool: Any) -> None:
        kafka = Kafka(bootstrap_servers="localhost:1")
        self.pool, self.ledger = pool, Ledger("notifier")
        self.identities = open_identities(notifier_settings(kafka, 10))
        self.store, self.late_store = self._new_store(50.0), self._new_store(-1.0)
        self.recovery = MailOutcomeRecovery(kafka, pool, self.ledger, self.identities, _no_rules)

    def _new_store(self, lease_seconds: float) -> Store:
        return Store(
            self.pool,
            self.ledger,
            uuid4(),
            self.identities,
            lease_seconds=lease_seconds,
            welcomes_per_day=3,
            welcomes_per_site_and_hour=2,
        )

    async def open_epochs(self) -> None:
        async with transaction(self.pool) as connection:
            for topic in (RECEIVED, RETRY):
                await self.ledger.open_epoch(connection, (topic, 0), 1, 0)

    async def reserve(self, *records: Any, late: bool = False) -> BatchPlan:
        store = self.late_store if late else self.store
        return await store.reserve(decode_batch(records), records, ())

    async def row(self, of: LeadReceived, kind: str) -> tuple[Any, ...]:
        """Return its state, whether it has an owner, whether the lease lasts, and what decided it."""
        async with transaction(self.pool) as connection:
            rows: Any = await load_deliveries(connection, [of.lead_id])
        row = rows[of.lead_id, kind]
        return row.state, row.owner is not None, row.lease_seconds > 0, row.settled_by


Case = Callable[[Parts], Awaitable[None]]


def run_on(kind: str, request: pytest.FixtureRequest, case: Case) -> None:
    """Run a case on a simulated database in virtual time, or on the real one."""

    async def run(pool: Any) -> None:
        parts = Parts(pool)
        await parts.open_epochs()
        await case(parts)

    async def simulated(_: VirtualLoop, __: Network) -> None:
        await run(Opener(Database(), notifier_statements(), Random(1)).of(ENVIRONMENT, POSTGRES))

    async def real(settings: Postgres) -> None:
        async with open_pool(settings, "test") as pool:
            await run(pool)

    if kind == "simulated":
        run_virtual(1, simulated)
    else:
        asyncio.run(real(request.getfixturevalue("postgres")))


@on_both
def test_a_mail_passes_its_states_until_it_is_sent(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        one = lead()
        alert, welcome = sorted(
            (await parts.reserve(record(one, 0))).to_send, key=lambda delivery: delivery.kind
        )
        assert {welcome.kind, alert.kind} == BOTH
        assert await parts.row(one, "welcome") == ("reserved", True, True, None)
        await parts.store.begin_sending(welcome)
        with pytest.raises(DependencyUnavailable):  # it is being sent already
            await parts.store.begin_sending(welcome)
        assert await parts.store.write_outcome(welcome, SENT) == "sent"
        assert await parts.store.write_outcome(welcome, SENT) is None
        assert await parts.row(one, "welcome") == ("sent", False, False, welcome.record_id)
        assert await parts.store.write_outcome(alert, WAITING) == "waiting"
        assert await parts.store.write_outcome(alert, SENT) is None  # nobody has reserved it
        again = await parts.reserve(record(one, 0), record(one, 1))
        assert not again.to_send
        assert not again.busy
        retried = await parts.reserve(record(one, 0, "admin_alert"), record(one, 1, "welcome"))
        assert [each.kind for each in retried.to_send] == ["admin_alert"]
        assert [each.kind for each in retried.resolved] == ["welcome"]
        assert await parts.row(one, "admin_alert") == ("reserved", True, True, alert.record_id)

    run_on(kind, request, case)


@on_both
def test_a_lease_decides_who_may_take_a_mail(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        one, other = lead(), lead()
        plan = await parts.reserve(record(one, 0), late=True)
        await parts.late_store.begin_sending(plan.to_send[0])  # and dies
        held = await parts.reserve(record(other, 1))
        busy = await parts.reserve(record(other, 1), late=True)
        assert busy.busy == {(RECEIVED, 0): 1}
        assert 20 < busy.wait_seconds <= 50
        taken = await parts.reserve(record(one, 0))
        assert len(taken.reserved) == 1
        (unknown,) = taken.unknown
        assert (await parts.row(one, unknown.kind))[:3] == ("sending", True, True)
        assert await parts.late_store.write_outcome(unknown, SENT) is None
        assert await parts.store.write_outcome(unknown, PROCESS_DIED) == "unknown"
        await parts.late_store.release([(each, True) for each in held.to_send])  # not its own
        assert (await parts.row(other, "welcome"))[2]
        await parts.store.release([(each, False) for each in held.to_send])
        assert not (await parts.row(other, "welcome"))[2]
        assert len((await parts.reserve(record(other, 1), late=True)).reserved) == 2

    run_on(kind, request, case)


@on_both
def test_limits_suppress_and_lost_outcomes_return(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        leads = [lead() for _ in range(3)]
        plan = await parts.reserve(*(record(each, number) for number, each in enumerate(leads)))
        assert len(plan.to_send) == 5  # two welcomes in an hour
        ((suppressed, _),) = plan.suppressed
        assert (await parts.row(suppressed.lead, "welcome"))[0] == "suppressed"
        first, lost = plan.to_send[0], lead()
        missing = Delivery(record(lost, 3), lost, "welcome", retry=False)
        async with transaction(parts.pool) as connection:
            for delivery in (first, missing):  # a row that is there, and one that is not
                recovered = RecoveredOutcome(delivery, "sent", "sent, as Kafka's records say")
                await parts.recovery._write_mail(connection, recovered)
        assert await parts.row(first.lead, first.kind) == ("sent", False, False, first.record_id)
        assert (await parts.row(lost, "welcome"))[0] == "sent"

    run_on(kind, request, case)


@on_both
def test_last_retry_that_failed_is_dead(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        plan = await parts.reserve(record(lead(), 0))
        first = plan.to_send[0]
        assert await parts.store.write_outcome(first, WAITING) == "waiting"
        again = record(first.lead, 0, first.kind)
        (retried,) = (await parts.reserve(again, late=True)).to_send
        assert await parts.late_store.write_outcome(retried, WAITING) == "waiting"
        (resent,) = (await parts.reserve(record(first.lead, 1, first.kind), late=True)).to_send
        assert (
            await parts.late_store.write_outcome(retried, WAITING) == "dead"
        )  # decided by that record before
        assert resent.key == first.key

    run_on(kind, request, case)


@on_both
def test_two_processes_reserve_a_lead_once(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        one = lead()
        both = parts.reserve(record(one, 0)), parts.reserve(record(one, 0), late=True)
        plans = await asyncio.gather(*both, return_exceptions=True)
        new = [each.new for each in plans if isinstance(each, BatchPlan) and each.new]
        assert len(new) == 1
        assert set(await parts.store.states(one.lead_id)) == BOTH

    run_on(kind, request, case)

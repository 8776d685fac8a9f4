"""The simulated database refuses what PostgreSQL refuses, and its transaction is over then."""

from datetime import timedelta
from typing import Any, Final

import asyncpg
import pytest

from runtime.database import lead_events
from runtime.database.postgres import transaction
from runtime.failures import Failure
from services.flusher.store import SQL as QUEUE_SQL
from services.webhooks.events import events_of_lead
from tests.integration.fake_conformance.test_simulated_flusher_database import Parts as FlusherParts
from tests.integration.fake_conformance.test_simulated_flusher_database import run_on as run_flusher_on
from tests.integration.fake_conformance.test_simulated_webhooks_database import Parts as WebhooksParts
from tests.integration.fake_conformance.test_simulated_webhooks_database import run_on as run_webhooks_on
from tests.support.factories import lead

on_both = pytest.mark.parametrize("kind", ["simulated", "postgresql"])
HOUR: Final = timedelta(hours=1)


async def stored_row(parts: FlusherParts) -> Any:
    """Store a failure, and return its row."""
    await parts.save(failed := parts.failed("failure"))
    parts.now += 3 * HOUR
    rows = await parts.send(failed.failure.stage)
    return rows[0]


async def mark_sent(connection: Any, parts: FlusherParts, row: Any, attempts: int) -> None:
    await QUEUE_SQL.mark_sent(
        connection, ids=[row.id], attempts=[attempts], now=parts.now, overdue_at=parts.now + HOUR
    )


async def attempts_of(parts: FlusherParts) -> list[int]:
    return [row[5] for row in await parts.rows()]


@on_both
def test_no_statement_follows_one_that_was_refused(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: FlusherParts) -> None:
        row = await stored_row(parts)
        assert await attempts_of(parts) == [1]

        async def go_on() -> None:
            async with transaction(parts.pool) as connection:
                with pytest.raises(asyncpg.CheckViolationError):
                    await mark_sent(connection, parts, row, 4)
                await mark_sent(connection, parts, row, 2)

        with pytest.raises(Failure):
            await go_on()
        assert await attempts_of(parts) == [1]

    run_flusher_on(kind, request, case)


@on_both
def test_a_refused_statement_takes_the_earlier_ones_back(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: FlusherParts) -> None:
        row = await stored_row(parts)
        async with transaction(parts.pool) as connection:
            await mark_sent(connection, parts, row, 2)
            with pytest.raises(asyncpg.CheckViolationError):
                await mark_sent(connection, parts, row, 4)
        assert await attempts_of(parts) == [1]

    run_flusher_on(kind, request, case)


@on_both
def test_an_open_row_of_the_queue_has_its_payload(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: FlusherParts) -> None:
        row = await stored_row(parts)

        async def send_without_payload() -> None:
            async with transaction(parts.pool) as connection:
                await QUEUE_SQL.resolve_rows(connection, ids=[row.id], now=parts.now)
                await mark_sent(connection, parts, row, 2)

        with pytest.raises(Failure):
            await send_without_payload()
        assert [each[2] for each in await parts.rows()] == ["replaying"]

    run_flusher_on(kind, request, case)


@on_both
def test_a_delivery_is_inserted_once(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: WebhooksParts) -> None:
        await parts.save(of := lead())
        event, *_ = events_of_lead(of, parts.destinations)
        with pytest.raises(Failure):
            async with transaction(parts.pool) as connection:
                await lead_events.SQL.insert_deliveries(
                    connection, event_ids=[event.id], destinations=["crm"]
                )
        assert await parts.states() == ["pending"]

    run_webhooks_on(kind, request, case)

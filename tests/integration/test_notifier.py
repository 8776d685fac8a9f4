"""The notifier alone, against a real broker, a real database and a real SMTP server that follows a script."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from services.notifier.app import create_app
from services.notifier.settings import Settings, Smtp
from tests.support.factories import lead, post
from tests.support.smtp import SmtpServer, smtp_server
from tests.support.stack import Database
from tests.support.wait import eventually


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.owner)
    yield connection
    await connection.close()


def settings(kafka: Kafka, postgres: Postgres, smtp: SmtpServer, **changes: Any) -> Settings:
    return Settings(
        **{
            "kafka": kafka,
            "postgres": postgres,
            "smtp": Smtp(host=smtp.host, port=smtp.port, tls=False),
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
            "answer_timeout_seconds": 1.0,
            "mail_timeout_seconds": 2.0,
            "lease_seconds": 3.0,
        }
        | changes
    )


@contextlib.asynccontextmanager
async def notifier(configured: Settings) -> AsyncIterator[None]:
    app = create_app(configured)
    async with app.router.lifespan_context(app):
        yield


async def states(db: Any, which: LeadReceived) -> dict[str, str]:
    rows = await db.fetch("SELECT kind, state FROM email_delivery WHERE lead_id = $1", which.lead_id)
    return {row["kind"]: row["state"] for row in rows}


async def test_a_lead_gets_one_welcome_and_the_admin_one_alert(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
):
    sent = lead()
    async with notifier(settings(kafka, postgres, smtp)):
        await post(kafka, sent)
        await eventually(
            lambda: states(db, sent), until=lambda s: s == {"welcome": "sent", "admin_alert": "sent"}
        )
    assert len(smtp.mails) == 2

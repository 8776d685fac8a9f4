"""What readiness says of the mail server, while mails go and while none does, against a scripted one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runtime.health import Health
from runtime.settings import Kafka, Postgres
from services.notifier.mail.message import Identity, compose
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import Mailer, open_mailer
from tests.support.factories import lead
from tests.support.smtp import SmtpServer, smtp_server
from tests.support.wait import eventually


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as running:
        yield running


@pytest.fixture
async def health(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> Health:
    monkeypatch.setattr("services.notifier.smtp.mailer.WATCH_SECONDS", 0.01)
    monkeypatch.setattr("runtime.failures.Backoff.seconds", lambda *_: 0.01)
    return Health()


@pytest.fixture
async def mailer(server: SmtpServer, health: Health) -> AsyncIterator[Mailer]:
    settings = Settings.model_validate(
        {
            "kafka": Kafka(bootstrap_servers="127.0.0.1:1"),
            "postgres": Postgres.model_validate({"url": "postgresql://nobody@127.0.0.1:1/none"}),
            "smtp": {"host": server.host, "port": server.port, "tls": False},
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
        }
    )
    async with open_mailer(settings, health, asyncio.Event()) as made:
        yield made


async def send(mailer: Mailer) -> str:
    identity = Identity("hello@fast.example", "FAST", ("boss@fast.example",))

    async def nothing_to_commit() -> None: ...

    outcome = await mailer.send(compose("welcome", lead(), identity, datetime.now(UTC)), nothing_to_commit)
    return outcome.verdict.value


async def test_regression_a_server_that_goes_away_is_seen_without_a_mail(
    server: SmtpServer, health: Health, mailer: Mailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Readiness was green until the next lead came.
    monkeypatch.setattr("services.notifier.smtp.mailer.QUIET_SECONDS", 0.05)

    async def well() -> bool:
        return health.parts["smtp"].ok

    await eventually(well, what="a connection")
    server.always["connect"] = "421 4.3.2 going down"
    await eventually(well, until=lambda ok: not ok, what="red readiness")
    del server.always["connect"]
    await eventually(well, what="green readiness")


async def test_regression_a_refused_sender_is_not_well_because_a_connection_is(
    server: SmtpServer, health: Health, mailer: Mailer
) -> None:
    # Each refusal was forgotten a second later, when the next connection and its login succeeded.
    server.always["mail"] = "550 5.7.60 not allowed to send as this sender"
    assert await send(mailer) == "world"
    assert not health.parts["smtp"].ok
    connections = server.seen["ehlo"]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(mailer.watch(), 0.1)
    assert server.seen["ehlo"] == connections
    assert not health.parts["smtp"].ok
    del server.always["mail"]
    assert await send(mailer) == "sent"
    assert health.parts["smtp"].ok

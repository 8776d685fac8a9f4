"""The readiness of the mail server with and without mails, against a scripted server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.settings import Kafka, Postgres
from services.notifier.mail.message import compose
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import Mailer, open_mailer
from tests.support.factories import lead
from tests.support.mail.smtp import HANG, SmtpServer, smtp_server
from tests.support.services.notifier import IDENTITY
from tests.support.wait import eventually


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as running:
        yield running


@pytest.fixture
async def health(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> Health:
    monkeypatch.setattr("services.notifier.smtp.mailer.MONITOR_SECONDS", 0.01)
    monkeypatch.setattr("runtime.failures.Backoff.seconds", lambda *_: 0.01)
    return Health()


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def mailer(server: SmtpServer, health: Health, stopping: asyncio.Event) -> AsyncIterator[Mailer]:
    settings = Settings.model_validate(
        {
            "kafka": Kafka(bootstrap_servers="127.0.0.1:1"),
            "postgres": Postgres.model_validate({"url": "postgresql://nobody@127.0.0.1:1/none"}),
            "smtp": {"host": server.host, "port": server.port, "tls": False},
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
        }
    )
    async with open_mailer(settings, health, stopping) as made:
        yield made


async def send(mailer: Mailer) -> str:

    async def nothing_to_commit() -> None: ...

    outcome = await mailer.send(compose("welcome", lead(), IDENTITY, datetime.now(UTC)), nothing_to_commit)
    return outcome.status.value


async def test_regression_an_unavailable_server_is_detected_without_a_mail(
    server: SmtpServer, health: Health, mailer: Mailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Readiness stayed green until the next lead.
    monkeypatch.setattr("services.notifier.smtp.mailer.PROBE_SECONDS", 0.05)

    async def ok() -> bool:
        return health.parts["smtp"].ok

    await eventually(ok, what="a connection")
    server.always["connect"] = "421 4.3.2 going down"
    await eventually(ok, until=lambda is_ok: not is_ok, what="red readiness")
    del server.always["connect"]
    await eventually(ok, what="green readiness")


async def test_regression_a_connection_does_not_hide_a_refused_sender(
    server: SmtpServer, health: Health, mailer: Mailer
) -> None:
    # A second after the refusal the next successful login turned readiness green.
    server.always["mail"] = "550 5.7.60 not allowed to send as this sender"
    assert await send(mailer) == "unavailable"
    assert not health.parts["smtp"].ok
    connections = server.seen["ehlo"]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(mailer.monitor(), 0.1)
    assert server.seen["ehlo"] == connections
    assert not health.parts["smtp"].ok
    del server.always["mail"]
    assert await send(mailer) == "sent"
    assert health.parts["smtp"].ok


@pytest.mark.parametrize("phase", ["ehlo", "mail", "rcpt", "data"])
async def test_a_stop_does_not_wait_for_the_commands_before_a_body(
    server: SmtpServer, mailer: Mailer, stopping: asyncio.Event, phase: str
) -> None:
    server.always[phase] = HANG
    mails = [asyncio.create_task(send(mailer)) for _ in range(2)]

    async def count() -> int:
        return server.seen[phase]

    await eventually(count, until=lambda seen: seen >= len(mails), what="the commands")
    stopping.set()
    async with asyncio.timeout(1):
        for mail in mails:
            with pytest.raises(DependencyUnavailable, match="stopping"):
                await mail
    with pytest.raises(DependencyUnavailable, match="stopping"):
        await send(mailer)
    assert server.mails == []


async def test_connections_are_counted_in_use_and_idle(server: SmtpServer, mailer: Mailer) -> None:
    def connections() -> tuple[float | None, ...]:
        return tuple(
            REGISTRY.get_sample_value("fastcore_mail_connections", {"state": state})
            for state in ("in_use", "idle")
        )

    async def counted() -> tuple[float | None, ...]:
        return connections()

    await eventually(counted, until=lambda now: now == (0, 1), what="the connection of the probe")
    server.always["rcpt"] = HANG
    sending = asyncio.create_task(send(mailer))
    await eventually(counted, until=lambda now: now == (1, 0), what="a connection in use")
    sending.cancel()
    await asyncio.wait({sending})
    assert connections() == (0, 0)

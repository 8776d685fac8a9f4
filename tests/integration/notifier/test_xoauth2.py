"""Logins with XOAUTH2 at a real SMTP server, with tokens from a real endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from runtime import oauth_tokens as access_tokens
from runtime.health import Health
from runtime.settings import Kafka, Postgres
from services.notifier.mail.message import compose
from services.notifier.settings import Smtp
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import MailOutcome, MailStatus
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer, smtp_server, tls_for_localhost
from tests.support.mail.token_endpoint import TokenEndpoint, token_endpoint
from tests.support.services.notifier import IDENTITY, notifier, notifier_settings, readyz, wait_for_states
from tests.support.wait import eventually

USER = "leads@fast.example"


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with token_endpoint() as running:
        yield running


@pytest.fixture
async def server(endpoint: TokenEndpoint) -> AsyncIterator[SmtpServer]:
    async with smtp_server(credentials=(USER, ""), tokens=endpoint.valid) as running:
        yield running


def smtp(server: SmtpServer, endpoint: TokenEndpoint, **changes: Any) -> Smtp:
    return Smtp.model_validate(
        {
            "host": server.host,
            "port": server.port,
            "tls": False,
            "user": USER,
            "oauth_flow": "client_credentials",
            "oauth_token_url": endpoint.url,
            "oauth_client_id": "client",
            "oauth_client_secret": "secret",
            "oauth_scope": "mail",
        }
        | changes
    )


@asynccontextmanager
async def mailer(configured: Smtp, health: Health | None = None) -> AsyncIterator[Mailer]:
    settings = notifier_settings(
        Kafka.model_validate({"bootstrap_servers": "127.0.0.1:1"}),
        Postgres.model_validate({"url": "postgresql://x@127.0.0.1/x"}),
        configured,
    )
    running = Mailer(settings, health or Health(), asyncio.Event())  # without the monitor, which logs in too
    try:
        yield running
    finally:
        await running.close()


async def send(running: Mailer) -> MailOutcome:
    async def nothing_to_commit() -> None: ...

    return await running.send(compose("welcome", lead(), IDENTITY, datetime.now(UTC)), nothing_to_commit)


async def test_all_connections_log_in_with_one_token(server: SmtpServer, endpoint: TokenEndpoint) -> None:
    async with mailer(smtp(server, endpoint)) as running:
        outcomes = await asyncio.gather(*(send(running) for _ in range(5)))
    assert {each.status for each in outcomes} == {MailStatus.SENT}
    assert server.logins == ["token-1"] * 5
    assert len(endpoint.requests) == 1


async def test_the_login_works_over_starttls(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = tls_for_localhost()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with smtp_server(credentials=(USER, ""), tokens=endpoint.valid, tls_context=context) as server:
        configured = smtp(server, endpoint, host="localhost", tls=True)
        async with mailer(configured) as running:
            assert (await send(running)).status is MailStatus.SENT


async def test_a_refused_token_is_renewed_once_and_the_mail_is_sent(
    server: SmtpServer, endpoint: TokenEndpoint
) -> None:
    async with mailer(smtp(server, endpoint)) as running:
        assert running._tokens is not None
        await running._tokens.get()
        endpoint.valid.clear()  # revoked, long before it expires
        assert (await send(running)).status is MailStatus.SENT
    assert server.logins == ["token-1", "token-2"]


async def test_a_server_that_refuses_each_token_causes_one_renewal(
    server: SmtpServer, endpoint: TokenEndpoint
) -> None:
    server.tokens = set()
    async with mailer(smtp(server, endpoint)) as running:
        outcomes = [await send(running) for _ in range(3)]
    assert {(each.status, each.code) for each in outcomes} == {(MailStatus.UNAVAILABLE, 535)}
    assert len(endpoint.requests) == 2
    assert server.logins == ["token-1", "token-2", "token-2", "token-2"]


async def test_a_connection_is_replaced_once_its_token_expires(
    server: SmtpServer, endpoint: TokenEndpoint
) -> None:
    endpoint.lifetime = 1
    async with mailer(smtp(server, endpoint)) as running:
        await send(running)
        await asyncio.sleep(0.4)
        await send(running)
        assert server.logins == ["token-1"]
        await asyncio.sleep(0.7)
        assert (await send(running)).status is MailStatus.SENT
    assert server.logins == ["token-1", "token-2"]


@pytest.mark.parametrize("phase", ["mail", "rcpt"])
async def test_a_login_that_the_server_ends_is_repeated(
    server: SmtpServer, endpoint: TokenEndpoint, phase: str
) -> None:
    async with mailer(smtp(server, endpoint)) as running:
        await send(running)
        server.then(phase, "530 5.7.57 Client was not authenticated to send mail")
        assert (await send(running)).status is MailStatus.SENT
    assert server.logins == ["token-1", "token-1"]
    assert len(server.mails) == 2


async def test_without_a_token_the_mail_waits_and_readiness_says_what_to_do(
    server: SmtpServer, endpoint: TokenEndpoint
) -> None:
    health = Health()
    endpoint.fail("invalid_grant")
    async with mailer(smtp(server, endpoint), health) as running:
        outcome = await send(running)
    assert outcome.status is MailStatus.UNAVAILABLE
    reason = health.parts["smtp"].reason
    assert reason.startswith("smtp no access token: the token endpoint answers invalid_grant: the grant")
    assert not health.parts["access_token"].ok
    assert server.logins == []


async def test_a_server_without_xoauth2_is_a_reason_to_wait(endpoint: TokenEndpoint) -> None:
    async with smtp_server(credentials=(USER, "x")) as server, mailer(smtp(server, endpoint)) as running:
        outcome = await send(running)
    assert (outcome.status, outcome.reason) == (
        MailStatus.UNAVAILABLE,
        "smtp server lacks what we need at connect",
    )


async def test_an_expired_grant_pauses_and_no_mail_is_dead(
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    server: SmtpServer,
    endpoint: TokenEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_tokens, "RETRY_SECONDS", 0.2)
    endpoint.fail("invalid_grant")
    leads = [lead() for _ in range(5)]
    async with notifier(notifier_settings(kafka, postgres, smtp(server, endpoint))) as client:
        await post(kafka, *leads)
        health = await eventually(
            lambda: readyz(client),
            until=lambda h: "no access token" in h["parts"]["consumer"]["reason"],
            what="a pause",
        )
        assert "grant it again" in health["parts"]["smtp"]["reason"]
        states = await db.fetch("SELECT DISTINCT state FROM email_delivery")
        assert [row["state"] for row in states] == ["reserved"]
        endpoint.heal()
        for each in leads:
            await wait_for_states(db, each, seconds=60)
        await eventually(lambda: readyz(client), until=lambda h: h["parts"]["smtp"]["ok"], what="readiness")
    assert len(server.mails) == 10

"""Logins with XOAUTH2 at a real Postfix, whose Dovecot asks the token endpoint about each token."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.notifier.mail.message import Identity, compose
from services.notifier.settings import Smtp
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import MailStatus, Phase
from tests.integration.notifier.test_xoauth2 import USER, mailer
from tests.support.factories import lead
from tests.support.mail.dovecot import dovecot
from tests.support.mail.postfix import Postfix, postfix
from tests.support.mail.token_endpoint import TokenEndpoint, token_endpoint


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with token_endpoint() as running:
        yield running


async def test_postfix_takes_a_token_and_refuses_a_revoked_one(endpoint: TokenEndpoint) -> None:
    with dovecot(endpoint.url) as port, postfix(port) as server:
        configured = Smtp.model_validate(
            {
                "host": "127.0.0.1",
                "port": server.ports["submission"],
                "tls": False,
                "user": USER,
                "oauth_flow": "refresh_token",
                "oauth_token_url": endpoint.url,
                "oauth_client_id": "client",
                "oauth_refresh_token": "refresh",
            }
        )
        async with mailer(configured) as running:
            await send(running, MailStatus.SENT)
        assert await asyncio.to_thread(delivered, server) == 1
        async with mailer(configured) as running:
            assert running._tokens is not None
            await running._tokens.get()
            endpoint.valid.clear()  # Dovecot refuses the first token, and Postfix answers 535
            await send(running, MailStatus.SENT)
        assert len(endpoint.requests) == 3
        endpoint.user = "somebody@fast.example"
        async with mailer(configured) as running:
            phase, code = await send(running, MailStatus.UNAVAILABLE)
        assert (phase, code) == (Phase.LOGIN, 535)


async def send(running: Mailer, status: MailStatus) -> tuple[Phase | None, int | None]:
    async def nothing_to_commit() -> None: ...

    identity = Identity(USER, "FAST", ("team@mailbox.example",))
    mail = compose("admin_alert", lead(), identity, datetime.now(UTC))
    outcome = await running.send(mail, nothing_to_commit)
    assert outcome.status is status, outcome
    return outcome.phase, outcome.code


def delivered(server: Postfix) -> int:
    """Wait until a mail is in the team's mailbox, and return how many there are."""
    deadline = datetime.now(UTC).timestamp() + 20
    while not (found := server.mails_of("team")) and datetime.now(UTC).timestamp() < deadline:
        pass
    return len(found)

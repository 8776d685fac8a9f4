"""Access tokens from a real token endpoint: three grants, renewal, and what happens if there is none."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime import oauth_tokens as access_tokens
from runtime.health import Health
from runtime.oauth_tokens import AccessTokenError, AccessTokens, OAuthGrant, xoauth2_response
from services.notifier.mail.dkim_key import make_private_key
from tests.support.mail.token_endpoint import TokenEndpoint, token_endpoint

KEY = make_private_key(2048)


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with token_endpoint() as running:
        yield running


def grant(endpoint: TokenEndpoint, **changes: Any) -> OAuthGrant:
    return OAuthGrant(
        **{
            "user": "leads@nord.studio",
            "token_url": endpoint.url,
            "client_id": "client",
            "client_secret": "s%cr+t&=",
            "scope": "https://outlook.office365.com/.default",
        }
        | changes
    )


async def test_client_credentials_are_sent_as_microsoft_needs_them(endpoint: TokenEndpoint) -> None:
    token = await AccessTokens(grant(endpoint)).get()
    assert token.value == "token-1"
    assert endpoint.requests == [
        {
            "grant_type": "client_credentials",
            "client_id": "client",
            "client_secret": "s%cr+t&=",
            "scope": "https://outlook.office365.com/.default",
        }
    ]
    assert "token-1" not in repr(token)


async def test_a_refresh_token_is_sent_and_a_newer_one_replaces_it(endpoint: TokenEndpoint) -> None:
    endpoint.more = {"refresh_token": "newer"}
    endpoint.lifetime = 0.01
    tokens = AccessTokens(grant(endpoint, refresh_token="1//0g-x+/=", scope=""))
    endpoint.lifetime = 1
    await tokens.get()
    tokens._token = None
    await tokens.get()
    assert endpoint.requests[0] == {
        "grant_type": "refresh_token",
        "client_id": "client",
        "client_secret": "s%cr+t&=",
        "refresh_token": "1//0g-x+/=",
    }
    assert endpoint.requests[1]["refresh_token"] == "newer"


async def test_a_service_account_signs_for_the_mailbox(endpoint: TokenEndpoint) -> None:
    account = grant(endpoint, client_id="svc@p.iam", private_key=KEY, scope="https://mail.google.com/")
    assert "PRIVATE" not in repr(account)
    await AccessTokens(account).get()
    (form,) = endpoint.requests
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    public: Any = load_pem_private_key(KEY.encode(), None).public_key()
    claims = jwt.decode(form["assertion"], public, algorithms=["RS256"], audience=endpoint.url)
    assert (claims["iss"], claims["sub"], claims["scope"]) == (
        "svc@p.iam",
        "leads@nord.studio",
        "https://mail.google.com/",
    )


async def test_many_connections_share_one_request(endpoint: TokenEndpoint) -> None:
    endpoint.delay_seconds = 0.05
    tokens = AccessTokens(grant(endpoint))
    found = await asyncio.gather(*(tokens.get() for _ in range(20)))
    assert {each.value for each in found} == {"token-1"}
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(("lifetime", "renewed"), [(3600, 3300), (100, 50), (None, 3300)])
async def test_a_token_is_renewed_before_it_expires(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch, lifetime: int | None, renewed: float
) -> None:
    endpoint.lifetime = lifetime
    tokens, now = AccessTokens(grant(endpoint)), time.monotonic()
    await tokens.get()
    monkeypatch.setattr("time.monotonic", lambda: now + renewed - 1)
    assert (await tokens.get()).value == "token-1"
    monkeypatch.setattr("time.monotonic", lambda: now + renewed + 5)
    assert (await tokens.get()).value == "token-2"


async def test_a_valid_token_is_used_while_its_renewal_fails(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = Health()
    tokens, now = AccessTokens(grant(endpoint), health), time.monotonic()
    await tokens.get()
    endpoint.fail("temporarily_unavailable", 503)
    monkeypatch.setattr("time.monotonic", lambda: now + 3500)
    assert (await tokens.get()).value == "token-1"
    part = health.parts["access_token"]
    assert (part.ok, part.reason.startswith("warning: the token endpoint answers")) == (True, True)
    monkeypatch.setattr("time.monotonic", lambda: now + 3700)
    with pytest.raises(AccessTokenError):
        await tokens.get()
    assert not health.parts["access_token"].ok
    endpoint.heal()
    monkeypatch.setattr("time.monotonic", lambda: now + 3800)
    await tokens.get()
    assert (health.parts["access_token"].ok, health.parts["access_token"].reason) == (True, "")


@pytest.mark.parametrize(
    ("error", "description", "reason"),
    [
        (
            "invalid_grant",
            "Token has been expired or revoked.",
            "invalid_grant: the grant expired or was revoked, or SMTP_USER is not permitted: grant it again",
        ),
        (
            "invalid_client",
            "AADSTS7000222: The provided client secret keys for app 'x' are expired.",
            (
                "invalid_client, AADSTS7000222: correct SMTP_OAUTH_CLIENT_ID and SMTP_OAUTH_CLIENT_SECRET,"
                " which may have expired"
            ),
        ),
        ("odd", "bob@private.example", "odd: see docs/email.md#xoauth2"),
        ("bob@private.example", "", "400, and no token"),
    ],
)
async def test_a_refusal_says_what_to_do_and_no_personal_data(
    endpoint: TokenEndpoint, error: str, description: str, reason: str
) -> None:
    endpoint.fail(error, description=description)
    with pytest.raises(AccessTokenError) as caught:
        await AccessTokens(grant(endpoint)).get()
    assert caught.value.reason == f"the token endpoint answers {reason}"


@pytest.mark.parametrize(
    "answer",
    [
        (502, "<html>Bad Gateway</html>"),
        (200, "{}"),
        (200, "[]"),
        (200, '{"access_token": "a b"}'),
        (200, '{"access_token": ["t"]}'),
        (200, '{"access_token": "t", "expires_in": "soon"}'),
        (200, '{"access_token": "t", "expires_in": -1}'),
        (302, ""),
        (200, " " * 100_000 + '{"access_token": "t"}'),
    ],
)
async def test_an_answer_without_a_usable_token_is_no_token(
    endpoint: TokenEndpoint, answer: tuple[int, str]
) -> None:
    endpoint.answers = [answer]
    with pytest.raises(AccessTokenError, match="the token endpoint answers"):
        await AccessTokens(grant(endpoint)).get()


async def test_a_slow_endpoint_is_given_up_in_time(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "REQUEST_SECONDS", 0.2)
    endpoint.delay_seconds = 5
    began = time.monotonic()
    with pytest.raises(AccessTokenError, match="the token endpoint is unavailable"):
        await AccessTokens(grant(endpoint)).get()
    assert time.monotonic() - began < 3


async def test_an_answer_that_never_ends_is_cut_off(endpoint: TokenEndpoint) -> None:
    endpoint.endless = True
    began = time.monotonic()
    assert (await AccessTokens(grant(endpoint)).get()).value == "token-1", (
        "the blanks after the token are cut"
    )
    assert time.monotonic() - began < 5


async def test_after_a_failure_the_endpoint_is_left_alone(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.fail("invalid_grant")
    tokens, now = AccessTokens(grant(endpoint)), time.monotonic()
    for _ in range(10):
        with pytest.raises(AccessTokenError):
            await tokens.get()
    assert len(endpoint.requests) == 1
    endpoint.heal()
    monkeypatch.setattr("time.monotonic", lambda: now + 10)
    assert (await tokens.get()).value == "token-2"


async def test_an_endpoint_that_is_down_is_a_reason_to_wait(endpoint: TokenEndpoint) -> None:
    configured = grant(endpoint, token_url="http://127.0.0.1:1/token")
    with pytest.raises(AccessTokenError, match=r"unavailable \(ConnectError\): mails wait"):
        await AccessTokens(configured).get()


async def test_a_refused_token_is_renewed_at_most_once_a_minute(endpoint: TokenEndpoint) -> None:
    tokens = AccessTokens(grant(endpoint))
    first = await tokens.get()
    assert tokens.reject(first)
    second = await tokens.get()
    assert second.value == "token-2"
    assert tokens.reject(first), "another connection renewed it already"
    assert not tokens.reject(second), "the server seems to refuse each token"
    assert (await tokens.get()) is second


async def test_the_response_for_imap_has_the_form_of_the_mechanism(endpoint: TokenEndpoint) -> None:
    token = await AccessTokens(grant(endpoint)).get()
    assert xoauth2_response("a@b.studio", token) == b"user=a@b.studio\x01auth=Bearer token-1\x01\x01"

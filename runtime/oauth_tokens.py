"""Gets OAuth 2.0 access tokens for a mailbox, for SMTP and IMAP, and renews them before they expire.

Three grants: client credentials (Microsoft 365), a refresh token (Gmail, and others), and a service account
that acts for a mailbox (Google Workspace, RFC 7523). `oauthlib` writes the requests and reads the responses.
"""

import asyncio
import re
import ssl
import time
from dataclasses import dataclass, field
from typing import Final

import httpx
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error, ServiceApplicationClient
from oauthlib.oauth2.rfc6749.clients.base import Client

from runtime.health import Health
from runtime.logs import logger

PART: Final = "access_token"
REQUEST_SECONDS: Final = 15.0
"""The time for one request at the token endpoint."""
RETRY_SECONDS: Final = 5.0
"""After a failure, the token endpoint is left alone for this time."""
RENEW_BEFORE_SECONDS: Final = 300.0
"""A token is renewed this long before it expires, or after half of its time if that is shorter."""
REJECTED_SECONDS: Final = 60.0
"""A token that the mail server refuses is renewed at once, but at most once in this time."""
_DEFAULT_LIFETIME: Final = 3600
_RESPONSE_MAX_BYTES: Final = 64 * 1024
_ERROR: Final = re.compile(r"[A-Za-z_]{1,40}")
_MICROSOFT_CODE: Final = re.compile(r"AADSTS\d{1,9}")
_TODO: Final = {
    "invalid_grant": "the grant expired or was revoked, or {prefix}USER is not permitted: grant it again",
    "invalid_client": "correct {prefix}OAUTH_CLIENT_ID and {prefix}OAUTH_CLIENT_SECRET, which may have"
    " expired",
    "unauthorized_client": "permit the client to use this grant and scope for {prefix}USER",
    "invalid_scope": "correct {prefix}OAUTH_SCOPE",
}


@dataclass(frozen=True)
class OAuthGrant:
    """The credentials with which access tokens for the mailbox `user` are requested.

    `refresh_token` is set for a grant by refresh token, and `private_key` for a service account, whose
    address is `client_id`. Without both, the grant is client credentials. The repr shows no secret.
    `variable_prefix` is the prefix of the settings, which error messages name.
    """

    user: str
    token_url: str
    client_id: str
    scope: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    variable_prefix: str = "SMTP_"


class AccessTokenError(Exception):
    """There is no usable access token now. `reason` says what to do, and contains no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class AccessToken:
    """An access token. Its times are seconds of the monotonic clock."""

    value: str
    renew_at: float
    expires_at: float

    def __repr__(self) -> str:
        return "AccessToken(...)"


class AccessTokens:
    """The access token for one mailbox, shared by all connections.

    Only one request at the token endpoint runs at a time. While a renewal fails, a token that is still valid
    is used.
    """

    def __init__(self, grant: OAuthGrant, health: Health | None = None, part: str = PART) -> None:
        """`health` gets the state of the token as `part`."""
        self._grant = grant
        self._health = health
        self._part = part
        self._lock = asyncio.Lock()
        self._token: AccessToken | None = None
        self._failure: AccessTokenError | None = None
        self._retry_at = 0.0
        self._rejected_at = -REJECTED_SECONDS
        self._refresh_token = grant.refresh_token
        self._log = logger("access token")

    async def get(self) -> AccessToken:
        """Return a token that is valid now. Raises `AccessTokenError`."""
        async with self._lock:
            now = time.monotonic()
            if self._token and now < self._token.renew_at:
                return self._token
            if now >= self._retry_at:
                try:
                    self._token = await self._request()
                except AccessTokenError as error:
                    self._failure, self._retry_at = error, time.monotonic() + RETRY_SECONDS
                    self._log.warning("no new access token", reason=error.reason)
                else:
                    self._failure = None
            return self._usable()

    def _usable(self) -> AccessToken:
        """Return the token if it is valid, and report the state. Raises the failure of the last request."""
        reason = self._failure.reason if self._failure else ""
        if self._token and time.monotonic() < self._token.expires_at:
            self._report(ok=True, reason=f"warning: {reason}" if reason else "")
            return self._token
        self._report(ok=False, reason=reason)
        raise self._failure or AccessTokenError("the access token expired at once")

    def reject(self, token: AccessToken) -> bool:
        """Record that the mail server refused this token. Return True if another token may help.

        A refusal causes at most one request in `REJECTED_SECONDS`, because a server may refuse every token.
        """
        if self._token is not token:
            return True  # another connection has renewed it already
        now = time.monotonic()
        if now - self._rejected_at < REJECTED_SECONDS:
            return False
        self._rejected_at, self._token = now, None
        return True

    def _report(self, *, ok: bool, reason: str) -> None:
        if self._health is not None:
            self._health.set(self._part, ok=ok, reason=reason)

    async def _request(self) -> AccessToken:
        """Request a new token. Raises `AccessTokenError`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                status, body = await _post(self._grant.token_url, self._request_body())
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = f"no answer within {REQUEST_SECONDS:g} s" if isinstance(error, TimeoutError) else ""
            raise AccessTokenError(
                f"the token endpoint is unavailable ({reason or type(error).__name__}):"
                " mails wait until it answers"
            ) from error
        return self._parse(status, body, began)

    def _request_body(self) -> str:
        grant = self._grant
        scope, secret = grant.scope or None, grant.client_secret or None
        if grant.private_key:
            return str(
                ServiceApplicationClient(grant.client_id).prepare_request_body(
                    private_key=grant.private_key,
                    issuer=grant.client_id,
                    subject=grant.user,
                    audience=grant.token_url,
                    extra_claims={"scope": scope},
                )
            )
        if grant.refresh_token:
            extra = {"client_secret": secret} if secret else {}
            return str(
                Client(grant.client_id).prepare_refresh_body(
                    refresh_token=self._refresh_token, scope=scope, client_id=grant.client_id, **extra
                )
            )
        client = BackendApplicationClient(grant.client_id)
        return str(client.prepare_request_body(scope=scope, include_client_id=True, client_secret=secret))

    def _parse(self, status: int, body: str, began: float) -> AccessToken:
        try:
            answer = Client("").parse_request_body_response(body)
            value, lifetime = answer["access_token"], answer.get("expires_in") or _DEFAULT_LIFETIME
        except OAuth2Error as error:
            raise AccessTokenError(_describe(status, error, body, self._grant.variable_prefix)) from None
        except (ValueError, TypeError, AttributeError, KeyError):
            raise AccessTokenError(f"the token endpoint answers {status}, and no token") from None
        if not (isinstance(value, str) and re.fullmatch(r"[!-~]+", value) and lifetime > 0):
            raise AccessTokenError(f"the token endpoint answers {status}, and no usable token")
        if self._refresh_token and isinstance(answer.get("refresh_token"), str):
            # Microsoft sends a new refresh token each time. The configured one stays valid until it expires.
            self._refresh_token = answer["refresh_token"]
        renew_after = max(lifetime - RENEW_BEFORE_SECONDS, lifetime / 2)
        return AccessToken(value, began + renew_after, began + lifetime)


def xoauth2_response(user: str, token: AccessToken) -> bytes:
    r"""Return the initial response of the SASL mechanism XOAUTH2, before base64.

    For IMAP: `imaplib.IMAP4.authenticate("XOAUTH2", lambda _: xoauth2_response(user, token))`.
    """
    return f"user={user}\x01auth=Bearer {token.value}\x01\x01".encode()


async def _post(url: str, body: str) -> tuple[int, str]:
    """Send a form, and return the status and the text of the response, of at most 64 KiB."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    # As for the mail server: the system's certificate authorities, or those in SSL_CERT_FILE.
    tls = ssl.create_default_context() if url.startswith("https:") else False
    async with (
        httpx.AsyncClient(verify=tls, timeout=REQUEST_SECONDS, follow_redirects=False) as client,
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        content = b""
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > _RESPONSE_MAX_BYTES:
                break
        return response.status_code, content[:_RESPONSE_MAX_BYTES].decode("utf-8", "replace")


def _describe(status: int, error: OAuth2Error, body: str, prefix: str) -> str:
    """Return what the token endpoint said, without its free text, which may name people."""
    code = str(error.error or "")
    if code == "missing_token" or not _ERROR.fullmatch(code):
        return f"the token endpoint answers {status}, and no token"
    number = _MICROSOFT_CODE.search(body)
    answer = f"{code}, {number[0]}" if number else code
    todo = _TODO.get(code, "see docs/email.md#xoauth2").format(prefix=prefix)
    return f"the token endpoint answers {answer}: {todo}"

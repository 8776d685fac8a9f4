"""Requests to Amazon SNS: its signing certificates, and the confirmation of a subscription.

Each URL in a message is compared with the region of a topic in our settings. So a forged message cannot make
the gateway request any other host.
"""

import asyncio
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.ingest.mail_events.provider import ForgedError, ProviderUnavailable

TOPIC_ARN: Final = re.compile(r"arn:aws[a-z-]*:sns:([a-z]{2}(?:-[a-z]+)+-\d):\d{12}:[A-Za-z0-9_-]{1,256}")
_CERTIFICATE_PATH: Final = re.compile(r"/SimpleNotificationService-[0-9a-f]{16,64}\.pem")
_SECONDS: Final = 5.0
_MAX_BYTES: Final = 64 * 1024
_CERTIFICATES_MAX: Final = 16


def sns_host(topic_arn: str) -> str:
    """Return the host of Amazon SNS in a topic's region. Raises `ForgedError` if it is no topic's ARN."""
    if not (found := TOPIC_ARN.fullmatch(topic_arn)):
        raise ForgedError
    return f"sns.{found[1]}.amazonaws.com"


class SnsCertificates:
    """Fetches the signing certificates of Amazon SNS, one at a time, and caches the latest ones."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._known: dict[str, x509.Certificate] = {}
        self._lock = asyncio.Lock()

    async def public_key(self, url: str, host: str) -> RSAPublicKey:
        """Return the key of the certificate at `url`, which must be on `host`.

        Raises `ForgedError` if it cannot be a certificate of Amazon SNS, and `ProviderUnavailable` if the
        host does not answer.
        """
        parts = _parts_of(url, host)
        if not _CERTIFICATE_PATH.fullmatch(parts.path) or parts.query:
            raise ForgedError
        async with self._lock:
            certificate = self._known.get(url) or await self._fetch(url)
            now = datetime.now(UTC)
            key = certificate.public_key()
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                raise ForgedError
            if not isinstance(key, RSAPublicKey):
                raise ForgedError
            self._known[url] = certificate
            while len(self._known) > _CERTIFICATES_MAX:
                self._known.pop(next(iter(self._known)))
        return key

    async def confirm(self, url: str, host: str, topic_arn: str) -> None:
        """Confirm a subscription to this topic. Raises `ForgedError` or `ProviderUnavailable`."""
        query = parse_qs(_parts_of(url, host).query)
        if query.get("Action") != ["ConfirmSubscription"] or query.get("TopicArn") != [topic_arn]:
            raise ForgedError
        await self._get(url)

    async def _fetch(self, url: str) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate(await self._get(url))
        except ValueError:
            raise ForgedError from None

    async def _get(self, url: str) -> bytes:
        content = b""
        try:
            async with asyncio.timeout(_SECONDS):
                async with self._client.stream(
                    "GET", url, follow_redirects=False, timeout=_SECONDS
                ) as response:
                    if response.is_server_error:
                        raise ProviderUnavailable
                    if response.status_code != httpx.codes.OK:
                        raise ForgedError
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        if len(content) > _MAX_BYTES:
                            raise ForgedError
        except (httpx.HTTPError, TimeoutError) as error:
            raise ProviderUnavailable from error
        return content


def _parts_of(url: str, host: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ForgedError from None
    if (parts.scheme, parts.netloc, port, parts.fragment) != ("https", host, None, ""):
        raise ForgedError
    return parts

"""The HTTP client for websites' queues (list and remove entries) and for the gateway (submit leads).

Each response is limited in time and size. A redirect is followed only if it adds or removes the last slash of
the path. Any other redirect could give the token to another server.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from pydantic import ValidationError

from contracts import headers as h
from contracts.reasons import Reason
from contracts.sites import PAGE_MAX_ENTRIES, SiteQueueEntry, SiteQueuePage
from runtime.failures import DependencyUnavailable, RetryableError
from runtime.logs import logger
from services.flusher.retries.retry_rules import Row
from services.flusher.settings import Site

# `origin_topic` of a row that came from a website: this and the site's name.
ORIGIN: Final = "site:"
ANSWER_SECONDS: Final = 10.0
# A page of the largest entries: 100 bodies of 64 KiB, and what JSON adds.
PAGE_MAX_BYTES: Final = 16 * 1024 * 1024
PROBLEM_MAX_BYTES: Final = 64 * 1024
# The status codes by which the gateway refuses the lead itself. Others mean our token, a limit or an outage.
_LEAD_REFUSED: Final = frozenset({400, 413, 415, 422})


@dataclass(frozen=True)
class Submission:
    """A lead to post to the gateway.

    `key` is the idempotency key. `body` is the lead as JSON text.
    """

    key: str
    body: bytes
    traceparent: str | None = None


class SiteQueueClient:
    """Reads websites' queues and posts to the gateway.

    Raises `RetryableError` and `DependencyUnavailable`.
    """

    def __init__(self, client: httpx.AsyncClient, gateway_url: str, sites: Sequence[Site]) -> None:
        self.sites = sites
        self._client = client
        self._gateway_url = gateway_url.rstrip("/")
        self._log = logger("pull")

    async def list_queue(self, site: Site) -> tuple[SiteQueuePage, list[SiteQueueEntry]]:
        """Return the first page of a website's queue, and the page's valid entries.

        The first page has the oldest entries.
        """
        status, body = await self._request(
            "site",
            "GET",
            site.queue_url,
            site.queue_token,
            limit=PAGE_MAX_BYTES,
            params={"limit": PAGE_MAX_ENTRIES},
        )
        if status != 200:
            raise DependencyUnavailable("site", f"site queue answered {status}")
        try:
            # Use Python's JSON parser: pydantic's would refuse the whole page for one entry deeper than 200
            # levels.
            page = SiteQueuePage.model_validate(json.loads(body))
        except (ValueError, RecursionError):  # a ValidationError is a ValueError
            raise DependencyUnavailable("site", "site queue's response cannot be read") from None
        return page, [entry for each in page.entries if (entry := self._parse_entry(each, site))]

    def _parse_entry(self, each: object, site: Site) -> SiteQueueEntry | None:
        try:
            return SiteQueueEntry.model_validate(each)
        except ValidationError:
            self._log.error("Site queue holds an entry that cannot be read", site=site.name)
            return None

    async def submit(self, site: Site, submission: Submission) -> None:
        """Post one lead to the gateway as the website would. Returns once the gateway answers 201.

        Raises `RetryableError` if the gateway refuses the lead.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": submission.key}
        if submission.traceparent:
            headers["traceparent"] = submission.traceparent
        status, body = await self._request(
            "gateway",
            "POST",
            f"{self._gateway_url}/inbound/leads",
            site.ingest_token,
            limit=PROBLEM_MAX_BYTES,
            content=submission.body,
            headers=headers,
        )
        if status in _LEAD_REFUSED:
            raise RetryableError(Reason.gateway_refused(status, _fields(body)))
        if status != 201:
            raise DependencyUnavailable("gateway", f"gateway answered {status}")

    async def deliver(self, row: Row) -> None:
        """Post the lead in a row of the replay queue to the gateway, with its original idempotency key."""
        name = row.origin_topic.removeprefix(ORIGIN)
        site = next((each for each in self.sites if each.name == name), None)
        if site is None:
            raise RetryableError(Reason.SITE_NOT_CONFIGURED.format(site=name))
        key, traceparent = (row.record_key or b"").decode(), row.headers.get(h.TRACEPARENT)
        await self.submit(site, Submission(key, row.payload or b"", traceparent))

    async def remove(self, site: Site, entry_id: str) -> None:
        """Remove an entry from a website's queue. An entry that does not exist counts as removed."""
        url = f"{site.queue_url.rstrip('/')}/{entry_id}"
        status, _ = await self._request("site", "DELETE", url, site.queue_token, limit=PROBLEM_MAX_BYTES)
        if status not in (200, 202, 204, 404, 410):
            raise DependencyUnavailable("site", f"site queue answered {status} to a removal")

    async def _request(
        self, part: str, method: str, url: str, token: str, *, limit: int, **options: Any
    ) -> tuple[int, bytes]:
        options["headers"] = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._stream(method, httpx.URL(url), **options) as answer,
            ):
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > limit:
                        raise DependencyUnavailable(part, f"{part} answered more than {limit} bytes")
                return answer.status_code, bytes(body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise DependencyUnavailable(part, f"{part}: no answer ({type(error).__name__})") from None

    @asynccontextmanager
    async def _stream(self, method: str, url: httpx.URL, **options: Any) -> AsyncIterator[httpx.Response]:
        """Send a request. Follows a redirect that only adds or removes the last slash of the path."""
        async with self._client.stream(method, url, **options) as answer:
            other = _slash_redirect(url, answer)
            if other is None:
                yield answer
                return
        async with self._client.stream(method, other, **options) as answer:
            yield answer


def _slash_redirect(url: httpx.URL, answer: httpx.Response) -> httpx.URL | None:
    """Return the target of a redirect (307 or 308) that only adds or removes the last slash of the path.

    Returns None for every other response.
    """
    if answer.status_code not in (307, 308):
        return None
    path = url.path.removesuffix("/") if url.path.endswith("/") else f"{url.path}/"
    target = url.join(answer.headers.get("Location", ""))
    same = (target.scheme, target.netloc, target.path) == (url.scheme, url.netloc, path)
    return url.copy_with(path=path) if same else None


def _fields(problem: bytes) -> list[str]:
    """Return the names of the fields that the gateway's error response calls invalid, never their values."""
    try:
        errors = httpx.Response(200, content=problem).json()["errors"]
        return [str(error["field"]) for error in errors]
    except (ValueError, KeyError, TypeError):
        return []


@asynccontextmanager
async def open_site_queues(gateway_url: str, sites: Sequence[Site]) -> AsyncIterator[SiteQueueClient]:
    """Yield a client for the websites' queues and the gateway.

    The client ignores environment variables such as `HTTPS_PROXY`.
    """
    # No limit over all hosts: a host that hangs would use the connections that the others need. The callers
    # limit how much they send at once.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False, limits=limits) as client:
        yield SiteQueueClient(client, gateway_url, sites)

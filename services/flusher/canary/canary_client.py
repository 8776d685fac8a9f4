"""Posts one canary as a visitor's browser would, and says which hop failed by what was observed."""

import asyncio
import json
import re
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from contracts.canary import KNOWN, LIMITED, RESPONSE_HEADER, canary_fields
from runtime.database.canaries import CanaryResult
from runtime.sites.model import NO_SITE, Site

ANSWER_SECONDS: Final = 10.0
ANSWER_MAX_BYTES: Final = 64 * 1024
USER_AGENT: Final = "FASTCore-Canary/1"
# The honeypots of HTML forms and of the site kit. A gateway that does not know our mark takes a canary for
# the lead of a bot, so that nobody gets an email about it.
_HONEYPOTS: Final = {"form": "_gotcha", "website": "homepage_url"}
_API_HONEYPOT: Final = {"meta": {"honeypot": "canary"}}
_FORM_REFUSED: Final = frozenset({400, 403, 413, 415, 422})
_CODE: Final = re.compile(r"[a-z0-9-]{1,40}")
UNMARKED: Final = (
    "the gateway took it for an ordinary lead: another FASTCORE_CANARY_SECRET, other content than it was"
    " sent with, or clocks that differ by more than 5 minutes"
)
_SPOOLED: Final = "the gateway wrote it to its disk: Kafka did not acknowledge it in time"
_LIMITED: Final = "the gateway did not store it: somebody sends the site's canaries again and again"


class Canary(NamedTuple):
    """A canary to send.

    `route` is `form` (the site's HTML form), `website` (the site's own `/api/contact`), or `api` (as the
    website's server posts, with `token`).
    """

    id: UUID
    site: str
    route: str
    settings: Site = NO_SITE
    token: str = ""


class Sent(NamedTuple):
    """What became of a post. `is_unmarked` means that the gateway took the canary for an ordinary lead."""

    results: list[CanaryResult]
    is_unmarked: bool = False


class _Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def values(self) -> dict[str, Any]:
        """The JSON object of the body; empty if the body is none."""
        try:
            values = json.loads(self.body)
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}

    @property
    def text(self) -> str:
        """The status, and the code of the problem if the body has one."""
        kind = self.values.get("type")
        code = kind.rpartition(":")[2] if isinstance(kind, str) else ""
        # A website may answer anything, also what the database does not store, such as NUL.
        return f"HTTP {self.status} {code if _CODE.fullmatch(code) else ''}".rstrip()


class CanaryClient:
    """Posts canaries to the gateway and to websites. Never raises for what they answer."""

    def __init__(self, client: httpx.AsyncClient, secret: bytes, gateway_url: str) -> None:
        self._client = client
        self._secret = secret
        self._gateway_url = gateway_url.rstrip("/")

    async def send(self, canary: Canary) -> Sent:
        """Post a canary, and return the results of the hops that the answer shows."""
        fields = canary_fields(self._secret, canary.site, canary.id)
        if canary.route == "api":
            return await self._send_to_api(canary, fields)
        fields[_HONEYPOTS[canary.route]] = "canary"
        if canary.route == "form":
            return await self._send_form(canary, fields)
        return await self._send_to_website(canary, fields)

    async def _send_form(self, canary: Canary, fields: dict[str, str]) -> Sent:
        site = canary.settings
        origin = site.origins[0] if site.origins else _origin(self._gateway_url)
        url = f"{self._gateway_url}/inbound/forms/{site.form_key}"
        answer = await self._post(url, {"Origin": origin}, data=fields)
        return self._read_gateway(canary, answer)

    async def _send_to_api(self, canary: Canary, fields: dict[str, str]) -> Sent:
        headers = {"Authorization": f"Bearer {canary.token}"}
        url = f"{self._gateway_url}/inbound/leads"
        answer = await self._post(url, headers, json={**fields, **_API_HONEYPOT})
        return self._read_gateway(canary, answer)

    def _read_gateway(self, canary: Canary, answer: _Answer | str) -> Sent:
        if isinstance(answer, str):
            return Sent([CanaryResult(canary.id, "gateway", answer)])
        content = "form" if canary.route == "form" else "request"
        is_unknown = answer.status == 404 and answer.text.endswith("unknown-form")
        if is_unknown or answer.status == 401:
            return Sent([*_worked(canary, "gateway"), CanaryResult(canary.id, "token", answer.text)])
        if answer.status in _FORM_REFUSED:
            worked = _worked(canary, "gateway", "token")
            return Sent([*worked, CanaryResult(canary.id, content, answer.text)])
        if answer.status == 201:
            return _read_accepted(canary, answer, content)
        return Sent([CanaryResult(canary.id, "gateway", answer.text)])

    async def _send_to_website(self, canary: Canary, fields: dict[str, str]) -> Sent:
        url = canary.settings.contact_url or ""
        answer = await self._post(url, {"Origin": _origin(url)}, json={**fields, "consent": True})
        if isinstance(answer, str):
            return Sent([CanaryResult(canary.id, "website", answer)])
        if answer.status == 202:
            queued = "the website queued it (HTTP 202): the gateway did not take it, or not its token"
            return Sent([*_worked(canary, "website"), CanaryResult(canary.id, "token", queued)])
        if answer.status != 201:
            return Sent([CanaryResult(canary.id, "website", answer.text)])
        if answer.values.get("leadId") != str(canary.id):
            return Sent([CanaryResult(canary.id, "gateway", UNMARKED)], is_unmarked=True)
        return Sent(_worked(canary, "website", "token", "gateway"))

    async def _post(self, url: str, headers: dict[str, str], **body: Any) -> _Answer | str:
        """Return the answer, or why there is none."""
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT, **headers}
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._client.stream("POST", url, headers=headers, **body) as answer,
            ):
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > ANSWER_MAX_BYTES:
                        break
                return _Answer(answer.status_code, answer.headers, bytes(content))
        except TimeoutError:
            return f"no answer within {ANSWER_SECONDS:.0f} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return f"no answer ({type(error).__name__})"


def _worked(canary: Canary, *hops: str) -> list[CanaryResult]:
    return [CanaryResult(canary.id, hop) for hop in hops]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _read_accepted(canary: Canary, answer: _Answer, content: str) -> Sent:
    written_to = answer.headers.get(RESPONSE_HEADER)
    if written_to is None:
        return Sent([CanaryResult(canary.id, "gateway", UNMARKED)], is_unmarked=True)
    if written_to == LIMITED:
        return Sent([CanaryResult(canary.id, "gateway", _LIMITED)])
    results = _worked(canary, "gateway", "token", content)
    if written_to != KNOWN:  # a proxy sent it twice: the consumers show whether Kafka has it
        results.append(CanaryResult(canary.id, "kafka", "" if written_to == "kafka" else _SPOOLED))
    return Sent(results)

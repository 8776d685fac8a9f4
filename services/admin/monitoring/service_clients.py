"""Reads other services over HTTP: the spool of each gateway, and the readiness of every service."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from contracts.mail_previews import MailPreview, UndeliverableMail
from services.admin.schemas.system import GatewaySpool, PartHealth, ServiceProcess

# More than the 1.5 s within which `/readyz` answers if a dependency hangs: its body names that dependency.
REQUEST_TIMEOUT_SECONDS: Final = 2.0
# A status has some kilobytes, and the metrics of a gateway some hundred.
BODY_MAX_BYTES: Final = 4 << 20
# Longer than the 15 s between two polls, so that a poll finds its connections open; shorter than the 30 s
# after which a service closes an idle connection.
KEEPALIVE_SECONDS: Final = 20.0
NO_SUCH_NAME: Final = "no such name"
NOT_FASTCORE: Final = "answered 200, but not as a service of FASTCORE does"
_LOGIN: Final = re.compile(r"(?<=://)[^/?#]*@")
REFUSED_REQUESTS: Final = "fastcore_requests_rejected_total"


class ServiceClients:
    """Reads the state of all gateways or services concurrently.

    The timeout of each request is `REQUEST_TIMEOUT_SECONDS`. `gateways` contains the URLs of the gateways.
    `services` maps the name of each service to its URL.
    """

    def __init__(
        self, client: httpx.AsyncClient, gateways: tuple[str, ...], services: Mapping[str, str]
    ) -> None:
        self._client = client
        self._gateways = gateways
        self._services = services

    async def read_gateways(self) -> list[GatewaySpool]:
        """Return the spool of each gateway process.

        The host name of a gateway may resolve to several addresses. Each address is queried as one process. A
        process that does not answer has the state `unknown`.
        """
        spools = await asyncio.gather(*(self._read_gateway(url) for url in self._gateways))
        return [spool for of_gateway in spools for spool in of_gateway]

    async def read_readiness(self) -> dict[str, PartHealth]:
        """Return the readiness of each service, by name. A service that does not answer is `down`."""
        readiness = await asyncio.gather(*(self._read_service(url) for url in self._services.values()))
        return dict(zip(self._services, readiness, strict=True))

    async def read_processes(self) -> list[ServiceProcess]:
        """Return the readiness of each process of each service.

        The host name of a service may resolve to several addresses. Each address is queried as one process.
        """
        found = await asyncio.gather(*(self._read_each(name, url) for name, url in self._services.items()))
        return [process for of_service in found for process in of_service]

    async def count_refused_requests(self) -> dict[str, dict[str, int]]:
        """Return how many requests each gateway process has refused since its start, by code.

        A process that does not answer is left out.
        """
        urls = [(url, address) for url in self._gateways for address in await _addresses(url) or ()]
        counts = await asyncio.gather(*(self._count_refused(url, address) for url, address in urls))
        return {
            f"{_without_login(url)} ({address})": codes
            for (url, address), codes in zip(urls, counts, strict=True)
            if codes is not None
        }

    async def read_mail_preview(
        self, kind: str, site: str, locale: str
    ) -> MailPreview | UndeliverableMail | None:
        """Return the preview of an email from the notifier, or None if the notifier does not answer."""
        if (url := self._services.get("notifier")) is None:
            return None
        params = {"site": site} | ({"locale": locale} if locale else {})
        try:
            status, body = await self._get(httpx.URL(f"{url}/internal/mails/{kind}"), params=params)
            if status == 409:
                return UndeliverableMail.model_validate(body)
            return MailPreview.model_validate(body) if status == 200 else None
        except (httpx.HTTPError, OSError, TimeoutError, ValueError):
            return None

    async def _read_gateway(self, url: str) -> list[GatewaySpool]:
        addresses = await _addresses(url)
        if addresses is None:
            return [_unknown_gateway(url, None, NO_SUCH_NAME)]
        return list(await asyncio.gather(*(self._read_address(url, address) for address in addresses)))

    async def _read_address(self, url: str, address: str) -> GatewaySpool:
        try:
            status, body = await self._get_from(address, f"{url}/internal/status")
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            return _unknown_gateway(url, address, _reason_of(error))
        if status != 200:
            return _unknown_gateway(url, address, f"answered {status}")
        if not isinstance(body.get("spool"), dict):
            return _unknown_gateway(url, address, NOT_FASTCORE)
        return GatewaySpool(url=_without_login(url), address=address, state="up", status=body)

    async def _read_each(self, name: str, url: str) -> list[ServiceProcess]:
        addresses = await _addresses(url)
        if addresses is None:
            health = PartHealth(state="down", reason=NO_SUCH_NAME)
            return [ServiceProcess(service=name, address=None, health=health)]
        states = await asyncio.gather(*(self._read_service(url, address) for address in addresses))
        return [
            ServiceProcess(service=name, address=address, health=health)
            for address, health in zip(addresses, states, strict=True)
        ]

    async def _read_service(self, url: str, address: str | None = None) -> PartHealth:
        try:
            if address is None:
                status, body = await self._get(httpx.URL(f"{url}/readyz"))
            else:
                status, body = await self._get_from(address, f"{url}/readyz")
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            return PartHealth(state="down", reason=_reason_of(error))
        parts = body.get("parts")
        if not isinstance(parts, dict):
            return PartHealth(state="down", reason=NOT_FASTCORE if status == 200 else f"answered {status}")
        return PartHealth(
            state="up" if status == 200 else "down",
            reason=None if status == 200 else f"answered {status}",
            parts=parts,
        )

    async def _count_refused(self, url: str, address: str) -> dict[str, int] | None:
        try:
            page = await self._fetch_from(address, f"{url}/metrics")
            page.raise_for_status()
            return {
                each.labels["code"]: int(each.value)
                for family in text_string_to_metric_families(page.text)
                for each in family.samples
                if each.name == REFUSED_REQUESTS and each.value
            }
        # Not the metrics of a gateway: a line that is none, a sample without a code, or an infinite one.
        except (httpx.HTTPError, OSError, TimeoutError, ValueError, LookupError, OverflowError):
            return None

    async def _get_from(self, address: str, url: str) -> tuple[int, dict[str, Any]]:
        return _parse(await self._fetch_from(address, url))

    async def _fetch_from(self, address: str, url: str) -> httpx.Response:
        named = httpx.URL(url)
        return await self._fetch(
            named.copy_with(host=address),
            # Connect to the address, but use the name for the TLS certificate and for proxies.
            headers={"Host": named.netloc.decode()},
            extensions={"sni_hostname": named.host},
        )

    async def _get(self, url: httpx.URL, **options: Any) -> tuple[int, dict[str, Any]]:
        return _parse(await self._fetch(url, **options))

    async def _fetch(self, url: httpx.URL, **options: Any) -> httpx.Response:
        """Return the response. Raises `ValueError` if its body has more than `BODY_MAX_BYTES`."""
        body = bytearray()
        async with (
            asyncio.timeout(REQUEST_TIMEOUT_SECONDS),
            self._client.stream("GET", url, **options) as response,
        ):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > BODY_MAX_BYTES:
                    raise ValueError("the body is too large")
        return httpx.Response(response.status_code, content=bytes(body), request=response.request)


def _unknown_gateway(url: str, address: str | None, reason: str) -> GatewaySpool:
    url = _without_login(url)
    return GatewaySpool(url=url, address=address, state="unknown", status=None, reason=reason)


def _without_login(url: str) -> str:
    """Return the URL without a user and password. It is shown, and the password must not be."""
    return _LOGIN.sub("", url)


def _reason_of(error: Exception) -> str:
    return (
        "answered no JSON object" if isinstance(error, ValueError) else f"no answer ({type(error).__name__})"
    )


def _parse(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    try:
        body = response.json()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(body, dict):
        raise ValueError("not an object")  # noqa: TRY004 - bad data, not a bad argument
    return response.status_code, body


async def _addresses(url: str) -> list[str] | None:
    """Return the addresses of the URL's host, or None if its name is not known."""
    host = httpx.URL(url)
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            infos = await asyncio.get_running_loop().getaddrinfo(
                host.host, host.port, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError):
        return None
    return sorted({str(info[4][0]) for info in infos})


@asynccontextmanager
async def open_service_clients(
    gateways: tuple[str, ...], services: Mapping[str, str]
) -> AsyncIterator[ServiceClients]:
    """Yield clients that are open until the context ends. They ignore proxy variables of the environment."""
    limits = httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS)
    async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS, limits=limits, trust_env=False) as client:
        yield ServiceClients(client, gateways, services)

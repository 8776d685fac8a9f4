"""Asks the other services over HTTP: gateways for their spools, every service for its readiness."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from services.admin.schemas.system import GatewaySpool, PartHealth

# Above the 1.5 s within which `/readyz` answers, whatever hangs there: its body names the part.
ASK_SECONDS: Final = 2.0


class Peers:
    """Every request is bounded to two seconds, and all are sent at once."""

    def __init__(
        self, client: httpx.AsyncClient, gateways: tuple[str, ...], services: Mapping[str, str]
    ) -> None:
        self._client = client
        self._gateways = gateways
        self._services = services

    async def ask_gateways(self) -> list[GatewaySpool]:
        """Return what each address of each gateway says. One that does not answer is unknown."""
        found = await asyncio.gather(*(self._ask_gateway(url) for url in self._gateways))
        return [spool for spools in found for spool in spools]

    async def ask_services(self) -> dict[str, PartHealth]:
        """Return the readiness of each service."""
        found = await asyncio.gather(*(self._ask_service(url) for url in self._services.values()))
        return dict(zip(self._services, found, strict=True))

    async def _ask_gateway(self, url: str) -> list[GatewaySpool]:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                addresses = await _addresses(httpx.URL(url))
        except (OSError, TimeoutError):
            return [GatewaySpool(url=url, address=None, state="unknown", status=None, reason="no such name")]
        return list(await asyncio.gather(*(self._ask_address(url, address) for address in addresses)))

    async def _ask_address(self, url: str, address: str) -> GatewaySpool:
        named = httpx.URL(url)
        try:
            status, body = await self._get(
                named.copy_with(host=address, path=f"{named.path.rstrip('/')}/internal/status"),
                # Asked at its address, but under its name: for its TLS certificate, and for proxies.
                headers={"Host": named.netloc.decode()},
                extensions={"sni_hostname": named.host},
            )
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            reason = f"no answer ({type(error).__name__})"
            return GatewaySpool(url=url, address=address, state="unknown", status=None, reason=reason)
        if status != 200:
            reason = f"answered {status}"
            return GatewaySpool(url=url, address=address, state="unknown", status=None, reason=reason)
        return GatewaySpool(url=url, address=address, state="up", status=body)

    async def _ask_service(self, url: str) -> PartHealth:
        try:
            status, body = await self._get(httpx.URL(f"{url}/readyz"))
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            return PartHealth(state="down", reason=f"no answer ({type(error).__name__})")
        parts = body.get("parts")
        return PartHealth(
            state="up" if status == 200 else "down",
            reason=None if status == 200 else f"answered {status}",
            parts=parts if isinstance(parts, dict) else None,
        )

    async def _get(self, url: httpx.URL, **options: Any) -> tuple[int, dict[str, Any]]:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await self._client.get(url, **options)
        body = answer.json()
        if not isinstance(body, dict):
            raise ValueError("not an object")  # noqa: TRY004 - bad data, not a bad argument
        return answer.status_code, body


async def _addresses(url: httpx.URL) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    return sorted({str(info[4][0]) for info in found})


@asynccontextmanager
async def open_peers(gateways: tuple[str, ...], services: Mapping[str, str]) -> AsyncIterator[Peers]:
    """Open the HTTP client for as long as the context lasts. It trusts no proxy variable."""
    async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:
        yield Peers(client, gateways, services)

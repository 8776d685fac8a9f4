"""The HTTP client of destinations. Every request is bounded in time, and every response in size.

It uses aiohttp, because aiohttp is maintained and gives access to the address of each connection
(`socket_factory`). With httpx, we would have to write our own network backend.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import aiohttp
import certifi

from contracts.reasons import Reason
from services.webhooks.outcome import Outcome, Result, outcome_of
from services.webhooks.public_addresses import AddressRefusedError, create_public_socket

RESPONSE_MAX_BYTES: Final = 64 * 1024
# Lookups of names that hang each hold a thread. A destination has at most about 15 before it is paused. The
# threads take 1 MB in total.
LOOKUPS_MAX: Final = 100
SocketFactory = Callable[[tuple[Any, ...]], socket.socket]
USER_AGENT: Final = "FASTCore-Webhooks/1"


@dataclass(frozen=True)
class Request:
    """A request to a destination. A 2xx response is a success only if it contains `expect`."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    allow_private: bool = False
    expect: str = ""


class DestinationClient:
    """Sends requests. Follows no redirect, uses no proxy, stores no cookies, and verifies certificates."""

    def __init__(
        self, public: aiohttp.ClientSession, private: aiohttp.ClientSession, timeout_seconds: float
    ) -> None:
        self._public = public
        self._private = private
        self.timeout_seconds = timeout_seconds

    async def send(self, request: Request, now: datetime) -> Outcome:
        """Send a request and return its outcome. A network error is returned as an outcome, not raised."""
        session = self._private if request.allow_private else self._public
        deadline = asyncio.get_running_loop().time() + self.timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=request.body,
                    allow_redirects=False,
                )
            async with response:
                text = await _read_start(response, deadline)
                retry_after = response.headers.get("Retry-After")
                return outcome_of(response.status, retry_after, text, now, request.expect)
        except TimeoutError:
            return Outcome(Result.FAILED, reason=Reason.DESTINATION_SILENT)
        except aiohttp.ClientConnectorDNSError:
            return Outcome(Result.FAILED, reason=Reason.DESTINATION_NAME_UNKNOWN)
        except aiohttp.ClientSSLError:
            return Outcome(Result.FAILED, reason=Reason.DESTINATION_CERTIFICATE)
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, AddressRefusedError)
            reason = Reason.DESTINATION_NOT_PUBLIC if refused else Reason.DESTINATION_UNREACHABLE
            return Outcome(Result.FAILED, reason=reason)
        except (aiohttp.ClientError, ValueError, OSError):
            return Outcome(Result.FAILED, reason=Reason.DESTINATION_BROKE_OFF)


async def _read_start(response: aiohttp.ClientResponse, deadline: float) -> str:
    """Return the beginning of a response's body. If the body hangs or breaks off, return what has arrived."""
    content = bytearray()
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout_at(deadline):
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) >= RESPONSE_MAX_BYTES:
                    break
    return content.decode("utf-8", "replace")


@contextlib.asynccontextmanager
async def open_client(timeout_seconds: float) -> AsyncIterator[DestinationClient]:
    """Open the client, which connects on its first request. It closes with the context."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()  # also the system's, for a company's own authority

    def open_session(socket_factory: SocketFactory | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=context, use_dns_cache=False, socket_factory=socket_factory
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            auto_decompress=False,  # a small response could become a large one
        )

    async with open_session(create_public_socket) as public, open_session(None) as private:
        yield DestinationClient(public, private, timeout_seconds)

"""An HTTP client for servers on this machine, which have no TLS."""

import ssl
from typing import Any, Final

import httpx

# Trusts nobody. httpx otherwise loads all CA certificates for each client: 20 ms, too long for each probe.
_NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(**options: Any) -> httpx.AsyncClient:
    """Return a client that can fetch `http://` URLs only. `options` are those of `httpx.AsyncClient`."""
    return httpx.AsyncClient(verify=_NO_CERTIFICATES, **options)

"""Decides which page may send a form, and to which page its visitor may be redirected. No I/O.

The URL of a form is public. Without these checks, any page could send its visitors' data to the form, and a
redirect to any page would help phishing.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urljoin, urlsplit

from starlette.types import Scope

_UNSAFE: Final = ("\\", "\t", "\n", "\r", " ")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def origin_of(url: str) -> str | None:
    """Return the origin of a URL. Return None for a text without an origin, such as `null`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def page_origin(origin: str | None, referer: str | None) -> str | None:
    """Return the origin of the page that sent a form: from the header `Origin`, or else from `Referer`.

    A page with `Referrer-Policy: no-referrer` sends `Origin: null`. The result is then None.
    """
    return origin_of(origin or "") or origin_of(referer or "")


def is_same_host(origin: str, host: str | None) -> bool:
    """Return True if an origin is the gateway's own.

    The gateway's error page, which lets the visitor send a form again, has this origin.
    """
    return host is not None and urlsplit(origin).netloc == host.lower().removesuffix(":443").removesuffix(
        ":80"
    )


def next_url(wanted: str, page: str, origins: Collection[str]) -> str | None:
    """Return the absolute URL in a form's field `_next`, or None if its origin is not one of `origins`.

    `wanted` is the value of the field. A relative URL is resolved against `page`, the origin of the page.
    """
    if not wanted or not wanted.isprintable() or any(character in wanted for character in _UNSAFE):
        return None
    try:
        url = urljoin(page + "/", wanted)
    except ValueError:  # such as "https://[domain]/", a template that nobody has filled in
        return None
    return url if origin_of(url) in origins else None


def visitor_address(scope: Scope, forwarded_for: str | None) -> str | None:
    """Return the visitor's address, or None if only the address of a proxy is known.

    `forwarded_for` is the value of the header `X-Forwarded-For`. If a trusted proxy sent the request, uvicorn
    takes the client's address from this header and sets the port to 0.

    A request with this header from a private address comes from a proxy that is not configured as trusted.
    All visitors would share the proxy's address, so the rate limit would treat their leads as spam.
    """
    client = scope.get("client")
    if not client:
        return None
    address, port = client
    if forwarded_for is None or port == 0:
        return str(address)
    try:
        return None if ip_address(address).is_private else str(address)
    except ValueError:
        return None

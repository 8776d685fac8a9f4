"""Which page may send a form, and which page its visitor may be sent to. Pure.

A form's address is public, so any page could send its visitors' data to it, and a redirect to any page would
help phishing.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urljoin, urlsplit

from starlette.types import Scope

_UNSAFE: Final = ("\\", "\t", "\n", "\r", " ")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def origin_of(url: str) -> str | None:
    """Return the origin of a URL, or None if it has none. `null`, an opaque origin, has none."""
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
    """Return the origin of the page that sent a form, from `Origin` or, without it, from `Referer`.

    A page with `Referrer-Policy: no-referrer` sends `Origin: null`, which says nothing.
    """
    return origin_of(origin or "") or origin_of(referer or "")


def is_same_host(origin: str, host: str | None) -> bool:
    """Return True if an origin is the gateway's own: its error page sends the form again."""
    return host is not None and urlsplit(origin).netloc == host.lower().removesuffix(":443").removesuffix(
        ":80"
    )


def next_url(wanted: str, page: str, origins: Collection[str]) -> str | None:
    """Return the absolute URL of a form's `_next` field, or None if it is not on one of the origins.

    A path is relative to the origin of the page.
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

    uvicorn replaces the client by the address in the header of a trusted proxy, and sets its port to 0. A
    header from a private address that is not trusted is a proxy that nobody has configured: all visitors
    would share its address, and their leads would be spam.
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

"""Which names a request may be for: a website must not reach us under its own name (DNS rebinding)."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

# Nobody outside can own these: localhost (RFC 6761) and .internal (reserved by ICANN for private use).
_PRIVATE: Final = (".localhost", ".internal")


class AllowedHosts:
    """The names of a comma-separated list; `*.example.com` allows every name below example.com.

    Always allowed are IP addresses (a rebound name is a name), localhost, and names without a dot, which
    are those of containers and Kubernetes services. An empty list allows every name, unless `debug` permits
    example tokens: a website knows those, and only its own name tells its requests from ours.
    """

    def __init__(self, listed: str, *, debug: bool) -> None:
        names = [part.strip().lower() for part in listed.split(",") if part.strip()]
        self.limited = bool(names) or debug
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._suffixes = (*_PRIVATE, *(name[1:] for name in names if name.startswith("*.")))

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a request with these headers is for one of the names."""
        host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
        return not self.limited or self._allows(_name(host))

    def _allows(self, name: str) -> bool:
        return name in self._names or "." not in name or name.endswith(self._suffixes) or _is_address(name)


def _name(host: str) -> str:
    """Return a Host header's name in lower case, without port, brackets and the root's dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

"""Which names a request may be for: a website must not reach us under its own name (DNS rebinding)."""

from collections.abc import Iterable
from ipaddress import ip_address

from runtime.private_names import is_private_name


class AllowedHosts:
    """The names of a comma-separated list; `*.example.com` allows every name below example.com.

    Always allowed are IP addresses (a rebound name is a name) and private names, which no website owns: those
    of containers, of Kubernetes services and of this machine. An empty list allows every name, unless `debug`
    permits example tokens: a website knows those, and only its own name tells its requests from ours.
    """

    def __init__(self, listed: str, *, debug: bool) -> None:
        names = [part.strip().lower() for part in listed.split(",") if part.strip()]
        self.limited = bool(names) or debug
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a request with these headers is for one of the names."""
        host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
        return not self.limited or self._allows(_name(host))

    def _allows(self, name: str) -> bool:
        return (
            name in self._names or name.endswith(self._suffixes) or is_private_name(name) or _is_address(name)
        )


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

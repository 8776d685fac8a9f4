"""Checks the Host header, to prevent DNS rebinding.

In this attack, a website makes its own host name resolve to the address of this server. Browsers then allow
the website's scripts to send requests to this server.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from runtime.private_names import is_private_name


class AllowedHosts:
    """The host names in a comma-separated list. `*.example.com` allows every name below example.com.

    IP addresses and private names (of containers, Kubernetes services and this machine) are always allowed,
    because no website can own them. An empty list allows every name, unless `debug` is set.

    With `debug`, services accept the example tokens, which are public. A website could use them to send valid
    requests from a visitor's browser. Only the Host header reveals such a request, so names that are not
    listed are refused.
    """

    def __init__(self, listed: str, *, debug: bool) -> None:
        names = [part.strip().lower() for part in listed.split(",") if part.strip()]
        self.limited = bool(names) or debug
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return True if the Host header among these headers is allowed."""
        host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
        return not self.limited or self._allows(_name(host))

    def _allows(self, name: str) -> bool:
        return (
            name in self._names or name.endswith(self._suffixes) or is_private_name(name) or _is_address(name)
        )


def _name(host: str) -> str:
    """Return the name in a Host header: in lower case, without port, brackets and trailing dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

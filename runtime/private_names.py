"""Which names only a private network resolves: nobody outside can own one."""

from typing import Final

# Kubernetes, RFC 6762 (multicast DNS; cluster.local is one), RFC 6761 and ICANN's .internal.
PRIVATE_SUFFIXES: Final = (".svc", ".local", ".localhost", ".internal")


def is_private_name(name: str) -> bool:
    """Return True for a private name in lower case; one without a dot is a container's or a service's."""
    return "." not in name or name.endswith(PRIVATE_SUFFIXES)

"""Host names that only a private network resolves. Nobody on the internet can register such a name."""

from typing import Final

# Kubernetes, RFC 6762 (multicast DNS; cluster.local is one), RFC 6761 and ICANN's .internal.
PRIVATE_SUFFIXES: Final = (".svc", ".local", ".localhost", ".internal")


def is_private_name(name: str) -> bool:
    """Return True if only a private network resolves the host name `name`, which must be in lower case.

    This is also true of each name without a dot, because it is the name of a container or a service.
    """
    return "." not in name or name.endswith(PRIVATE_SUFFIXES)

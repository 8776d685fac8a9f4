"""Refuses connections to addresses that are not public, so that nobody can reach our network through us.

The address of each connection is checked, not the host in the URL. A name may resolve to another address at
every lookup, and an address can be written in many ways (`2130706433`, `0177.0.0.1`, `[::ffff:127.0.0.1]`).
"""

import errno
import ipaddress
import socket
from typing import Any, Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Addresses that hold an IPv4 address, to which a gateway passes on (RFC 6052, 8215).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# A public address at which a virtual machine of Azure reaches services of its host.
_AZURE: Final = "168.63.129.16"
# For protocols of the IETF (RFC 6890). Python 3.11 takes some of them for global.
_IETF: Final = ipaddress.IPv4Network("192.0.0.0/24")
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")


class AddressRefusedError(OSError):
    """The address of a connection is not public."""

    def __init__(self) -> None:
        # The same text for each address: a client that tried several then reports this error.
        super().__init__(errno.EACCES, "the address is not public")


def is_public(address: str) -> bool:
    """Return True for an address of the public internet.

    Returns False for private, loopback, link-local (metadata services), shared, multicast, reserved and
    unspecified addresses, and for IPv6 addresses that contain such an IPv4 address.
    """
    parsed: _Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed in _LOCAL_NAT64:
            return False
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    if parsed.version == 6 and parsed.is_site_local:
        return False
    return (
        str(parsed) != _AZURE
        and parsed not in _IETF
        and parsed.is_global
        and not (parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)
    )


def create_public_socket(address_info: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an address that is about to be connected to.

    aiohttp calls this for each address to which a name resolved. Raises `AddressRefusedError` if the address
    is not public.
    """
    family, kind, protocol, _, address = address_info
    if not is_public(str(address[0])):
        raise AddressRefusedError
    return socket.socket(family, kind, protocol)

"""The order in which the addresses of a name are tried."""

import socket

from runtime.event_loop import AddressInfo, _interleave


def address(family: int, host: str) -> AddressInfo:
    return (family, socket.SOCK_STREAM, 6, "", (host, 1))


def test_address_families_alternate_after_first_resolved_address() -> None:
    six = [address(socket.AF_INET6, host) for host in ("::1", "::2", "::3")]
    four = [address(socket.AF_INET, "127.0.0.1")]
    assert _interleave([*six, *four]) == [six[0], four[0], six[1], six[2]]

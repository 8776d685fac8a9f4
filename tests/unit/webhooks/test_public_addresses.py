"""Which addresses are public. tests/integration/webhooks/test_network_faults.py opens real connections."""

# ruff: noqa: S104
import socket

import pytest

from services.webhooks.public_addresses import AddressRefusedError, create_public_socket, is_public


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "192.167.1.1",
        "169.253.1.1", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1",
    ],
)  # fmt: skip
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.168.0.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808", "2002:a00:1::1", "2002:7f00:1::1", "2001:0:808:808::f5ff:fffe",
    ],
)  # fmt: skip
def test_an_inner_address_in_any_spelling_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_a_socket_is_created_for_a_public_address_only() -> None:
    def info(address: str) -> tuple[object, ...]:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443))

    with create_public_socket(info("8.8.8.8")) as made:
        assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)
    with pytest.raises(AddressRefusedError, match="the address is not public"):
        create_public_socket(info("169.254.169.254"))

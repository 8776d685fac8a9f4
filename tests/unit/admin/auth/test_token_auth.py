"""Authentication by token, and the limit on wrong tokens."""

from zlib import crc32

import pytest
from fastapi import HTTPException

from services.admin.auth.token_auth import FAILURES_PER_MINUTE, TokenAuth


def fail(auth: TokenAuth, address: str) -> int:
    with pytest.raises(HTTPException) as caught:
        auth.authenticate(b"guess", address)
    return caught.value.status_code


def test_each_token_has_its_actor() -> None:
    auth = TokenAuth({"one": "ann", "two": "bob"})
    assert [auth.authenticate(token, "a") for token in (b"one", b"two")] == ["ann", "bob"]


def test_wrong_tokens_are_limited_per_address() -> None:
    auth = TokenAuth({"one": "ann"})
    statuses = [fail(auth, "192.0.2.1") for _ in range(FAILURES_PER_MINUTE + 1)]
    assert statuses == [401] * FAILURES_PER_MINUTE + [429]
    assert fail(auth, "192.0.2.2") == 401


def test_regression_a_valid_token_passes_at_a_limited_address() -> None:
    auth = TokenAuth({"one": "ann"})
    for _ in range(FAILURES_PER_MINUTE * 2):
        fail(auth, "192.0.2.1")
    assert auth.authenticate(b"one", "192.0.2.1") == "ann"


def test_regression_two_addresses_never_share_a_counter() -> None:
    # Both have the same CRC-32 modulo 65,536, by which addresses were counted.
    auth = TokenAuth({"one": "ann"})
    first, second = _colliding()
    for _ in range(FAILURES_PER_MINUTE + 1):
        fail(auth, first)
    assert fail(auth, second) == 401


def _colliding() -> tuple[str, str]:
    seen: dict[int, str] = {}
    for number in range(1_000_000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        counter = crc32(address.encode()) % 65_536
        if counter in seen:
            return seen[counter], address
        seen[counter] = address
    raise AssertionError


def test_the_limit_ends_after_a_minute() -> None:
    now = 0.0
    auth = TokenAuth({"one": "ann"}, lambda: now)
    for _ in range(FAILURES_PER_MINUTE):
        fail(auth, "192.0.2.1")
    assert fail(auth, "192.0.2.1") == 429
    now = 61.0
    assert fail(auth, "192.0.2.1") == 401


def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    auth = TokenAuth({"one": "ann"})
    for number in range(FAILURES_PER_MINUTE):
        fail(auth, f"2001:db8::{number:x}")
    assert fail(auth, "2001:db8::ffff") == 429
    assert fail(auth, "2001:db8:0:1::1") == 401


def test_a_missing_token_is_not_counted() -> None:
    auth = TokenAuth({"one": "ann"})
    for _ in range(FAILURES_PER_MINUTE * 2):
        with pytest.raises(HTTPException) as caught:
            auth.authenticate(None, "192.0.2.1")
        assert caught.value.status_code == 401


def test_valid_tokens_are_never_limited() -> None:
    auth = TokenAuth({"one": "ann"})
    assert {auth.authenticate(b"one", "192.0.2.1") for _ in range(FAILURES_PER_MINUTE * 3)} == {"ann"}


def test_regression_ipv4_mapped_addresses_do_not_share_a_counter() -> None:
    # A server that listens on `::` sees every IPv4 client as ::ffff:a.b.c.d, in one /64.
    auth = TokenAuth({"one": "ann"})
    for _ in range(FAILURES_PER_MINUTE + 1):
        fail(auth, "::ffff:192.0.2.1")
    assert fail(auth, "::ffff:192.0.2.2") == 401

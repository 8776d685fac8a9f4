"""Tokens and the limit on guessing, without HTTP."""

from zlib import crc32

import pytest
from fastapi import HTTPException

from services.admin.auth.token_auth import FAILURES_A_MINUTE, TokenAuth


def fail(auth: TokenAuth, address: str) -> int:
    with pytest.raises(HTTPException) as caught:
        auth.authenticate(b"guess", address)
    return caught.value.status_code


def test_each_token_has_its_name() -> None:
    auth = TokenAuth({"one": "ann", "two": "bob"})
    assert [auth.authenticate(token, "a") for token in (b"one", b"two")] == ["ann", "bob"]


def test_a_guesser_is_stopped_and_others_are_not() -> None:
    auth = TokenAuth({"one": "ann"})
    statuses = [fail(auth, "192.0.2.1") for _ in range(FAILURES_A_MINUTE + 1)]
    assert statuses == [401] * FAILURES_A_MINUTE + [429]
    assert fail(auth, "192.0.2.2") == 401


def test_regression_a_right_token_passes_also_where_a_guesser_shares_the_address() -> None:
    auth = TokenAuth({"one": "ann"})
    for _ in range(FAILURES_A_MINUTE * 2):
        fail(auth, "192.0.2.1")
    assert auth.authenticate(b"one", "192.0.2.1") == "ann"


def test_regression_two_addresses_never_share_a_counter() -> None:
    # Both have the same CRC-32 modulo 65,536, by which addresses were counted.
    auth = TokenAuth({"one": "ann"})
    first, second = _colliding()
    for _ in range(FAILURES_A_MINUTE + 1):
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


def test_a_guesser_may_try_again_after_a_minute() -> None:
    now = 0.0
    auth = TokenAuth({"one": "ann"}, lambda: now)
    for _ in range(FAILURES_A_MINUTE):
        fail(auth, "192.0.2.1")
    assert fail(auth, "192.0.2.1") == 429
    now = 61.0
    assert fail(auth, "192.0.2.1") == 401


def test_a_whole_ipv6_network_is_one_guesser() -> None:
    auth = TokenAuth({"one": "ann"})
    for number in range(FAILURES_A_MINUTE):
        fail(auth, f"2001:db8::{number:x}")
    assert fail(auth, "2001:db8::ffff") == 429
    assert fail(auth, "2001:db8:0:1::1") == 401


def test_no_token_at_all_is_not_counted_as_a_guess() -> None:
    auth = TokenAuth({"one": "ann"})
    for _ in range(FAILURES_A_MINUTE * 2):
        with pytest.raises(HTTPException) as caught:
            auth.authenticate(None, "192.0.2.1")
        assert caught.value.status_code == 401


def test_right_tokens_are_never_limited() -> None:
    auth = TokenAuth({"one": "ann"})
    assert {auth.authenticate(b"one", "192.0.2.1") for _ in range(FAILURES_A_MINUTE * 3)} == {"ann"}


def test_regression_ipv4_mapped_addresses_do_not_share_a_counter() -> None:
    # A server that listens on `::` sees every IPv4 client as ::ffff:a.b.c.d, in one /64.
    auth = TokenAuth({"one": "ann"})
    for _ in range(FAILURES_A_MINUTE + 1):
        fail(auth, "::ffff:192.0.2.1")
    assert fail(auth, "::ffff:192.0.2.2") == 401

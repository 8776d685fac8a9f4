"""Tokens and the limit on guessing, without HTTP."""

import pytest
from fastapi import HTTPException

from services.admin.access import FAILURES_A_MINUTE, Access


def fail(access: Access, address: str) -> int:
    with pytest.raises(HTTPException) as caught:
        access.actor(b"guess", address)
    return caught.value.status_code


def test_each_token_has_its_name() -> None:
    access = Access({"one": "ann", "two": "bob"})
    assert [access.actor(token, "a") for token in (b"one", b"two")] == ["ann", "bob"]


def test_a_guesser_is_stopped_and_others_are_not() -> None:
    access = Access({"one": "ann"})
    statuses = [fail(access, "192.0.2.1") for _ in range(FAILURES_A_MINUTE + 1)]
    assert statuses == [401] * FAILURES_A_MINUTE + [429]
    assert access.actor(b"one", "192.0.2.2") == "ann"


def test_a_whole_ipv6_network_is_one_guesser() -> None:
    access = Access({"one": "ann"})
    for number in range(FAILURES_A_MINUTE):
        fail(access, f"2001:db8::{number:x}")
    assert fail(access, "2001:db8::ffff") == 429
    assert fail(access, "2001:db8:0:1::1") == 401


def test_no_token_at_all_is_not_counted_as_a_guess() -> None:
    access = Access({"one": "ann"})
    for _ in range(FAILURES_A_MINUTE * 2):
        with pytest.raises(HTTPException) as caught:
            access.actor(None, "192.0.2.1")
        assert caught.value.status_code == 401


def test_right_tokens_are_never_limited() -> None:
    access = Access({"one": "ann"})
    assert {access.actor(b"one", "192.0.2.1") for _ in range(FAILURES_A_MINUTE * 3)} == {"ann"}

"""The mailbox key: equal for all spellings of one mailbox."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.mailbox import mailbox_key

LOCAL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.com", "ada@example.com"),
        ("ada+a@example.com", "ada+b@example.com"),
        ("a.d.a@gmail.com", "ada+x@googlemail.com"),
        ("ada@exämple.de", "ada@xn--exmple-cua.de"),
        ("ada@EXÄMPLE.de", "ada@exämple.de"),
        ("\uff41da@example.com", "ada@example.com"),
    ],
)
def test_spellings_of_one_mailbox_have_one_key(one: str, other: str) -> None:
    assert mailbox_key(one) == mailbox_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "bob@example.com"),
        ("a.da@example.com", "ada@example.com"),
        ("ada@example.com", "ada@example.org"),
        ("+a@example.com", "+b@example.com"),
    ],
)
def test_different_mailboxes_have_different_keys(one: str, other: str) -> None:
    assert mailbox_key(one) != mailbox_key(other)


@given(LOCAL, st.lists(st.text(string.ascii_letters + ".-_", max_size=8), max_size=3), st.randoms())
def test_tags_case_and_dots_do_not_change_a_gmail_key(local: str, tags: list[str], rng: object) -> None:
    choose = rng.random  # type: ignore[attr-defined]
    spelt = "".join(
        (char.upper() if choose() < 0.5 else char) + ("." if choose() < 0.3 else "") for char in local
    )
    assert mailbox_key("+".join([spelt, *tags]) + "@GMail.com") == f"{local}@gmail.com"


@given(st.text())
def test_mailbox_key_is_idempotent_for_any_text(value: str) -> None:
    assert mailbox_key(mailbox_key(value)) == mailbox_key(value)

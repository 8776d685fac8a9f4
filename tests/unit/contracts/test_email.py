"""The email type accepts the same addresses as pydantic's `EmailStr`."""

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import EmailStr, TypeAdapter, ValidationError

from contracts.email import _PLAIN, Email

OURS, THEIRS = TypeAdapter[str](Email), TypeAdapter[str](EmailStr)
LETTERS = "abzAZ09.-_+@ \nüxn"
ADDRESSES = st.builds(
    "{}@{}.{}".format,
    st.text(LETTERS, min_size=1, max_size=70),
    st.text(LETTERS, min_size=1, max_size=70),
    st.sampled_from(
        ["com", "co.uk", "test", "local", "localhost", "c", "xn--p1ai", "museum", "123", "latest"]
    ),
)


def read(adapter: TypeAdapter[str], address: str) -> str | None:
    try:
        return adapter.validate_python(address)
    except ValidationError:
        return None


@given(address=ADDRESSES | st.emails() | st.from_regex(_PLAIN, fullmatch=True) | st.text(max_size=80))
@example(address="Postmaster@example.com")
@example(address="ada@xn--bcher-kva.example")
@example(address="ada@a--b.example")
@example(address="ada@example.com\n")
@example(address="ada@sub.test")
def test_email_accepts_the_same_addresses_as_pydantic(address: str) -> None:
    assert read(OURS, address) == read(THEIRS, address)


def test_common_addresses_are_plain() -> None:
    assert all(map(_PLAIN.fullmatch, ("ada@example.com", "ada.l+x_1@mail.my-firm.co.uk")))

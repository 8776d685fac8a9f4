"""The lookup of bearer tokens."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.http.tokens import BearerTokens

TOKENS = BearerTokens({"first": "www", "second": "shop", "t\u00f6ken": "utf-8"})


def test_token_returns_its_name() -> None:
    assert [TOKENS.find_by_header(f"Bearer {token}") for token in ("first", "second", "third")] == [
        "www",
        "shop",
        None,
    ]


def test_non_ascii_token_is_compared_as_bytes() -> None:
    as_starlette_decodes = "Bearer t\u00f6ken".encode().decode("latin-1")
    assert TOKENS.find_by_header(as_starlette_decodes) == "utf-8"


@given(st.text(st.characters(max_codepoint=255)))
def test_find_by_header_never_raises(header: str) -> None:
    assert TOKENS.find_by_header(header) is None
    assert TOKENS.find_by_header(f"Bearer {header}x") is None

"""Bearer tokens."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.http.tokens import BearerTokens

TOKENS = BearerTokens({"first": "www", "second": "shop", "t\u00f6ken": "utf-8"})


def test_a_token_names_its_site() -> None:
    assert [TOKENS.find_by_header(f"Bearer {token}") for token in ("first", "second", "third")] == [
        "www",
        "shop",
        None,
    ]


def test_a_token_beyond_ascii_is_compared_as_the_bytes_that_were_sent() -> None:
    as_starlette_decodes = "Bearer t\u00f6ken".encode().decode("latin-1")
    assert TOKENS.find_by_header(as_starlette_decodes) == "utf-8"


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_raises(header: str) -> None:
    assert TOKENS.find_by_header(header) is None
    assert TOKENS.find_by_header(f"Bearer {header}x") is None

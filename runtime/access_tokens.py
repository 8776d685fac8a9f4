"""Lists of access tokens in settings: how they are parsed, and which tokens are too weak."""

import sys
from typing import Annotated, Final

from pydantic import AfterValidator

EXAMPLE_TOKENS: Final = frozenset({"dev-token-xyz-123", "dev-admin-token-xyz-123", "dev-queue-token-xyz-123"})
TOKEN_MIN_LENGTH: Final = 24
# The number of different pairs of adjacent characters. 24 random digits have 20 of them; "a" 24 times has 1,
# and "changeme" three times has 8.
TOKEN_MIN_PAIRS: Final = 16


def _require_token(value: str) -> str:
    if not any(part.strip() for part in value.split(",")):
        raise ValueError("holds no token: give one or more, separated by commas")
    return value


TokenList = Annotated[str, AfterValidator(_require_token)]


def named_tokens(value: str, default_name: str) -> dict[str, str]:
    """Parse a list of the form `[name:]token,...`, and return a dict from each token to its name.

    A token without a name gets `default_name`.
    """
    names: dict[str, str] = {}
    for part in value.split(","):
        name, colon, token = part.strip().rpartition(":")
        if token:
            names[token] = name if colon and name else default_name
    return names


def is_weak_token(token: str) -> bool:
    """Return True for a token that is easy to guess: an example, short, or repetitive."""
    pairs = {token[start : start + 2] for start in range(len(token) - 1)}
    return token in EXAMPLE_TOKENS or len(token) < TOKEN_MIN_LENGTH or len(pairs) < TOKEN_MIN_PAIRS


def refuse_weak_tokens(variable: str, tokens: list[str]) -> None:
    """Exit if a token is weak. The message names `variable`, the environment variable with the tokens.

    Do not call it with DEBUG=true, which permits weak tokens.
    """
    for token in tokens:
        if is_weak_token(token):
            sys.exit(
                f"{variable}: a token is an example, shorter than {TOKEN_MIN_LENGTH} characters or repeats"
                " itself. "
                'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))" '
                "(DEBUG=true permits it on a developer's machine)"
            )

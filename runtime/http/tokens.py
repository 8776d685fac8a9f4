"""Bearer tokens: finds the name to which a token belongs. The comparison takes constant time."""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from types import MappingProxyType


class BearerTokens:
    """The valid tokens, and the name of the site or person to which each one belongs.

    Only SHA-256 digests are stored, and a lookup compares all of them in constant time. So the duration of a
    lookup reveals nothing about a token. Digests are bytes, because `compare_digest` raises an error for text
    that is not ASCII.
    """

    def __init__(self, names: Mapping[str, str], digests: Mapping[bytes, str] = MappingProxyType({})) -> None:
        """`names` maps tokens to names, and `digests` maps SHA-256 digests of tokens to names."""
        self._names = [(sha256(token.encode()).digest(), name) for token, name in names.items()]
        self._names += digests.items()

    def find(self, token: bytes) -> str | None:
        """Return the name that a token belongs to, or None for an unknown token."""
        digest, match = sha256(token).digest(), None
        for valid, name in self._names:
            if compare_digest(digest, valid):
                match = name
        return match

    def find_by_header(self, authorization: str | None) -> str | None:
        """Return the name for an `Authorization` header, or None if it holds no valid bearer token.

        `authorization` is the header as Starlette decodes it, from Latin-1.
        """
        scheme, _, token = (authorization or "").partition(" ")
        return self.find(token.strip().encode("latin-1")) if scheme.lower() == "bearer" else None

"""Which site a bearer token names. Nothing else of a request is judged here."""

import hmac
from collections.abc import Mapping
from hashlib import sha256


class Tokens:
    """The tokens of all sites, held as digests.

    Digests are compared in constant time, and all of them each time, so that neither the length of
    a token nor its place in the list can be measured. They are bytes, because `compare_digest`
    raises on text that is not ASCII.
    """

    def __init__(self, sites: Mapping[str, str]) -> None:
        self._sites = [(sha256(token.encode()).digest(), site) for token, site in sites.items()]

    def site_of(self, authorization: str | None) -> str | None:
        """Return the site of an `Authorization` header as Starlette decodes it, None for any other."""
        scheme, _, token = (authorization or "").partition(" ")
        digest = sha256(token.strip().encode("latin-1")).digest()
        found = None
        for known, site in self._sites:
            if hmac.compare_digest(digest, known):
                found = site
        return found if scheme.lower() == "bearer" else None

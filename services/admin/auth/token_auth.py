"""Who may come in: tokens compared in constant time, and a bounded memory of those who guess."""

import math
import time
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import Final

from fastapi import HTTPException

from runtime.http.rate_limiter import Window

FAILURES_A_MINUTE: Final = 20
# Addresses that are remembered; the one that was quiet for longest is forgotten first.
_ADDRESSES: Final = 65_536


class Access:
    """Knows the tokens as digests only, and tells each caller's name."""

    def __init__(self, actors: dict[str, str], now: Callable[[], float] = time.monotonic) -> None:
        self._actors = [(sha256(token.encode()).digest(), name) for token, name in actors.items()]
        self._failures = Window(FAILURES_A_MINUTE, 60, _ADDRESSES)
        self._now = now

    def actor(self, token: bytes | None, address: str) -> str:
        """Return the name behind a token, or raise the problem 401, or 429 to who fails too often.

        Only failures are limited: otherwise one guesser behind a proxy locks everybody behind it out. A
        production token has 24 characters at least, which no number of requests guesses.
        """
        found = self.find(token) if token is not None else None
        if found is not None:
            return found
        network, now = _network(address), self._now()
        # No token at all is a browser or a health check that lost its way, not a guess.
        if token is not None and not self._failures.hit(network, now):
            raise HTTPException(
                429,
                "Too many wrong tokens came from this address. Wait, or use a right one.",
                headers={"Retry-After": str(max(1, math.ceil(self._failures.resets_in(network, now))))},
            )
        raise HTTPException(
            401,
            "Send the header 'Authorization: Bearer TOKEN' with a token of FASTCORE_ADMIN_TOKEN.",
            headers={"WWW-Authenticate": 'Bearer realm="FASTCore admin"'},
        )

    def find(self, token: bytes) -> str | None:
        """Return the name behind a token, None for any other."""
        # Digests of bytes: compare_digest takes no text beyond ASCII. Every token is compared, so
        # that the time does not tell which one was near.
        digest, found = sha256(token).digest(), None
        for known, name in self._actors:
            if compare_digest(digest, known):
                found = name
        return found


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    # Whoever has one IPv6 address has its /64.
    return f"{int(parsed) >> 64:x}::/64" if isinstance(parsed, IPv6Address) else address

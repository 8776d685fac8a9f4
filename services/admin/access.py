"""Who may come in: tokens compared in constant time, and a bounded memory of those who guess."""

from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from time import time
from typing import Final
from zlib import crc32

from fastapi import HTTPException
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

FAILURES_A_MINUTE: Final = 20
# Addresses share this many counters, so that guessing from many of them cannot fill the memory.
_COUNTERS: Final = 65_536


class Access:
    """Knows the tokens as digests only, and tells each caller's name."""

    def __init__(self, actors: dict[str, str]) -> None:
        self._actors = [(sha256(token.encode()).digest(), name) for token, name in actors.items()]
        self._failures = FixedWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerMinute(FAILURES_A_MINUTE)

    def actor(self, token: bytes | None, address: str) -> str:
        """Return the name behind a token, or raise the problem 401, or 429 to who fails too often.

        A blocked address is refused before its token is looked at: otherwise guessing would go on.
        """
        counter = _counter(address)
        if not self._failures.test(self._limit, counter):
            reset = self._failures.get_window_stats(self._limit, counter).reset_time
            raise HTTPException(
                429,
                "Too many wrong tokens came from this address. Wait, then use a right one.",
                headers={"Retry-After": str(max(1, round(reset - time())))},
            )
        found = self._find(token) if token is not None else None
        if found is None:
            # No token at all is a browser or a health check that lost its way, not a guess.
            if token is not None:
                self._failures.hit(self._limit, counter)
            raise HTTPException(
                401,
                "Send the header 'Authorization: Bearer TOKEN' with a token of FASTCORE_ADMIN_TOKEN.",
                headers={"WWW-Authenticate": 'Bearer realm="FASTCore admin"'},
            )
        return found

    def _find(self, token: bytes) -> str | None:
        # Digests of bytes: compare_digest takes no text beyond ASCII. Every token is compared, so
        # that the time does not tell which one was near.
        digest, found = sha256(token).digest(), None
        for known, name in self._actors:
            if compare_digest(digest, known):
                found = name
        return found


def _counter(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        parsed = None
    if isinstance(parsed, IPv6Address):
        # Whoever has one IPv6 address has its /64.
        address = str(int(parsed) >> 64)
    return str(crc32(address.encode()) % _COUNTERS)

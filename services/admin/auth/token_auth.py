"""Authentication by token: identifies the caller, and limits failed attempts per address."""

import math
import time
from collections.abc import Callable
from typing import Final

from fastapi import HTTPException

from runtime.http.rate_limiter import RateLimiter, network_of
from runtime.http.tokens import BearerTokens

FAILURES_PER_MINUTE: Final = 20
_MAX_ADDRESSES: Final = 65_536


class TokenAuth:
    """Authenticates admins, and limits attempts with wrong tokens.

    `actors` maps each token to the admin's name.
    """

    def __init__(self, actors: dict[str, str], now: Callable[[], float] = time.monotonic) -> None:
        self.tokens = BearerTokens(actors)
        self._failures = RateLimiter(FAILURES_PER_MINUTE, 60, _MAX_ADDRESSES)
        self._now = now

    def authenticate(self, token: bytes | None, address: str) -> str:
        """Return the name of the admin to whom the token belongs.

        Raises `HTTPException`: 401 without a valid token, 429 after too many wrong tokens from `address`.

        A valid token is accepted even after too many wrong ones. So an attacker cannot lock out others who
        use the same proxy. This is safe, because a production token has at least 24 characters and cannot be
        guessed.
        """
        name = self.tokens.find(token) if token is not None else None
        if name is not None:
            return name
        network, now = network_of(address) or address, self._now()
        # A request without a token is a browser or a misdirected health check, not a guess: do not count it.
        if token is not None and not self._failures.allow(network, now):
            raise HTTPException(
                429,
                "Too many wrong tokens came from this address. Wait and try again, or use a valid token.",
                headers={
                    "Retry-After": str(max(1, math.ceil(self._failures.seconds_until_reset(network, now))))
                },
            )
        raise HTTPException(
            401,
            "Send the header 'Authorization: Bearer TOKEN' with a token of FASTCORE_ADMIN_TOKEN.",
            headers={"WWW-Authenticate": 'Bearer realm="FASTCore admin"'},
        )

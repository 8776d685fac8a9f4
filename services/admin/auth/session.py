"""A browser's session: signed, expiring. No I/O, no clock: `now` is an argument.

Its key derives from the token that it was opened with, so that every replica reads it without shared
state, and it dies with the token. A sign-out ends it before: see `revocations`.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

COOKIE: Final = "fastcore_admin"
# A working day. Nothing renews it: a stolen cookie is worth no more than this.
SESSION_SECONDS: Final = 12 * 3600


@dataclass(frozen=True)
class Session:
    """Who is signed in. `csrf` is bound to this session and stands in each of its forms."""

    actor: str
    csrf: str
    digest: bytes
    """Names the session without being it."""

    def wrote(self, csrf: str) -> bool:
        """Return whether a form is one of this session's own."""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Sessions:
    """Opens sessions for tokens, and reads them back. `secure` keeps the cookie off plain HTTP."""

    def __init__(self, actors: dict[str, str], *, secure: bool) -> None:
        self._keys = [(_key(token), name) for token, name in actors.items()]
        self.secure = secure

    def open(self, token: str, now: float) -> str:
        """Return the cookie for a token that was found right."""
        return str(_signer(_key(token)).dumps({"id": token_urlsafe(18), "until": int(now) + SESSION_SECONDS}))

    def read(self, cookie: str, now: float) -> Session | None:
        """Return the session of a cookie, or None where it is forged, too old or its token is gone."""
        for key, name in self._keys:
            try:
                said = _signer(key).loads(cookie)
            except BadData:
                continue
            if now >= said["until"]:
                return None
            return Session(
                name,
                csrf=hmac.new(key, f"csrf {said['id']}".encode(), sha256).hexdigest(),
                digest=sha256(said["id"].encode()).digest(),
            )
        return None


def _key(token: str) -> bytes:
    return hmac.new(token.encode(), b"fastcore admin session", sha256).digest()


def _signer(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="session", signer_kwargs={"digest_method": sha256})

"""Browser sessions in a signed cookie that expires. No I/O, no clock: `now` is an argument.

The signing key is derived from the token with which the admin logged in. So every replica can verify a
session without shared state, and a session ends when its token is removed from the settings. A logout is
stored in the database (`store/revocations.py`).
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

COOKIE: Final = "fastcore_admin"
# A working day. A session is never renewed, which limits the use of a stolen cookie.
SESSION_SECONDS: Final = 12 * 3600


@dataclass(frozen=True)
class Session:
    """The session of an admin who has logged in.

    `actor` is the admin's name. `csrf` is the token that each form in this session contains.
    """

    actor: str
    csrf: str
    digest: bytes
    """Identifies the session in the database without allowing anybody to use it."""

    def csrf_matches(self, csrf: str) -> bool:
        """Return True if a form's CSRF token belongs to this session."""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Sessions:
    """Creates and verifies session cookies.

    `actors` maps each token to the admin's name. With `secure`, browsers send the cookies over HTTPS only.
    """

    def __init__(self, actors: dict[str, str], *, secure: bool) -> None:
        self._keys = [(_key(token), name) for token, name in actors.items()]
        self.secure = secure

    def create(self, token: str, now: float) -> str:
        """Return the cookie of a new session. The caller must have verified the token."""
        return str(_signer(_key(token)).dumps({"id": token_urlsafe(18), "until": int(now) + SESSION_SECONDS}))

    def read(self, cookie: str, now: float) -> Session | None:
        """Return the session of a cookie. Return None if the cookie is forged or has expired.

        Also returns None if the token with which the admin logged in was removed from the settings.
        """
        for key, name in self._keys:
            try:
                payload = _signer(key).loads(cookie)
            except BadData:
                continue
            if now >= payload["until"]:
                return None
            return Session(
                name,
                csrf=hmac.new(key, f"csrf {payload['id']}".encode(), sha256).hexdigest(),
                digest=sha256(payload["id"].encode()).digest(),
            )
        return None


def _key(token: str) -> bytes:
    return hmac.new(token.encode(), b"fastcore admin session", sha256).digest()


def _signer(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="session", signer_kwargs={"digest_method": sha256})

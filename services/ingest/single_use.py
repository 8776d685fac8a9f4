"""Remembers what may be used once: a solved captcha for one lead, a signed token for one event."""

from collections import OrderedDict
from collections.abc import Callable


class SingleUse:
    """The user of each key. At most `max_keys` are remembered; the oldest is forgotten first.

    Each replica has its own memory. The workers of a replica send each other what they add.
    """

    def __init__(self, max_keys: int = 100_000) -> None:
        self._max_keys = max_keys
        self._users = OrderedDict[str, str]()
        self.on_use: Callable[[str, str], None] | None = None
        """Called with key and user for each key that is used for the first time."""

    def user(self, key: str) -> str | None:
        """Return who has used a key, or None."""
        return self._users.get(key)

    def use(self, key: str, user: str) -> bool:
        """Return True unless another has used the key. The same user may use it again."""
        is_new = key not in self._users
        self.record(key, user)
        if is_new and self.on_use:
            self.on_use(key, user)
        return self._users[key] == user

    def record(self, key: str, user: str) -> None:
        """Remember a use at another worker, without a call of `on_use`."""
        self._users.setdefault(key, user)
        if len(self._users) > self._max_keys:
            self._users.popitem(last=False)

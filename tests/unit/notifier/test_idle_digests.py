"""A poll for digests is one query if nothing waits."""

from typing import Any, cast

from services.notifier.digests.alert_digests import AlertDigests
from services.notifier.digests.digest_store import DigestStore


class _Store:
    def __init__(self) -> None:
        self.calls: list[str] = []

    async def has_work(self) -> bool:
        self.calls.append("has_work")
        return False

    async def make_digests(self) -> None:
        self.calls.append("make_digests")

    async def claim(self, _: object) -> None:
        self.calls.append("claim")


async def test_an_idle_poll_makes_and_claims_no_digest() -> None:
    store, unused = _Store(), cast("Any", None)
    digests = AlertDigests(
        cast("DigestStore", store), unused, unused, unused, unused, unused, drain_seconds=1
    )
    assert await digests.send_due() == 0
    assert store.calls == ["has_work"]

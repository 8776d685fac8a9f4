"""Shares the rate limits, accepted leads and used keys of a worker with the other workers."""

from collections.abc import Callable, Mapping
from functools import partial
from uuid import UUID

from runtime.http.rate_limiter import RateLimiter
from services.ingest.idempotency_cache import CachedResponse, IdempotencyCache
from services.ingest.single_use import SingleUse
from services.ingest.workers.broadcast import Broadcast


def share_limits(
    broadcast: Broadcast, limiters: Mapping[str, RateLimiter], monotonic: Callable[[], float]
) -> None:
    """Count the hits of all workers in the limiters. The name of a limiter is the same in each worker."""

    def record(limiter: RateLimiter, key: str, item: str | None) -> None:
        limiter.record(key, monotonic(), UUID(item) if item else None)

    for name, limiter in limiters.items():
        limiter.on_hit = partial(broadcast.send, name)
        broadcast.subscribe(name, partial(record, limiter))


def share_accepted_leads(broadcast: Broadcast, cache: IdempotencyCache) -> None:
    """Add the accepted leads of all workers to the cache."""

    def send(lead_id: UUID, response: CachedResponse) -> None:
        broadcast.send("lead", lead_id, *response)

    def receive(lead_id: str, body_sha256: str, timestamp: str) -> None:
        cache.record(UUID(lead_id), CachedResponse(body_sha256, timestamp))

    cache.on_add = send
    broadcast.subscribe("lead", receive)


def share_used_keys(broadcast: Broadcast, used: Mapping[str, SingleUse]) -> None:
    """Share the used keys of all workers. A name means the same keys in each worker."""
    for name, memory in used.items():
        memory.on_use = partial(broadcast.send, name)
        broadcast.subscribe(name, memory.record)

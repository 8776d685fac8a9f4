"""The cache of responses to accepted leads."""

from uuid import uuid4

from services.ingest.idempotency_cache import CachedResponse, IdempotencyCache


def test_cache_returns_the_first_response() -> None:
    cache, lead_id = IdempotencyCache(), uuid4()
    cache.add(lead_id, CachedResponse("digest", "first"))
    cache.add(lead_id, CachedResponse("digest", "second"))
    assert cache.get(lead_id) == CachedResponse("digest", "first")
    assert cache.get(uuid4()) is None


def test_cache_evicts_the_oldest_response() -> None:
    cache, ids = IdempotencyCache(max_leads=3), [uuid4() for _ in range(5)]
    for lead_id in ids:
        cache.add(lead_id, CachedResponse("digest", "time"))
    assert [cache.get(lead_id) is not None for lead_id in ids] == [False, False, True, True, True]

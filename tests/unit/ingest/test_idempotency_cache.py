"""What the gateway remembers of acknowledged keys."""

from uuid import uuid4

from services.ingest.idempotency_cache import CachedResponse, IdempotencyCache


def test_a_lead_is_found_as_it_was_first_acknowledged() -> None:
    cache, lead_id = IdempotencyCache(), uuid4()
    cache.add(lead_id, CachedResponse("digest", "first"))
    cache.add(lead_id, CachedResponse("digest", "second"))
    assert cache.get(lead_id) == CachedResponse("digest", "first")
    assert cache.get(uuid4()) is None


def test_cache_is_bounded_and_forgets_the_oldest() -> None:
    cache, ids = IdempotencyCache(max_leads=3), [uuid4() for _ in range(5)]
    for lead_id in ids:
        cache.add(lead_id, CachedResponse("digest", "time"))
    assert [cache.get(lead_id) is not None for lead_id in ids] == [False, False, True, True, True]

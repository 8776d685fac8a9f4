"""The sliding window and the bounded memory of the rate limiter."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from runtime.http.rate_limiter import RateLimiter, network_of


def test_window_slides_with_each_hit() -> None:
    window = RateLimiter(limit=2, seconds=10)
    assert [window.allow("a", at) for at in (0, 5, 9, 10, 14, 15)] == [True, True, False, True, False, True]


def test_keys_do_not_share_a_limit() -> None:
    window = RateLimiter(limit=1, seconds=10)
    assert window.allow("a", 0)
    assert window.allow("b", 0)


def test_an_item_counts_once_within_the_window() -> None:
    window, one, other = RateLimiter(limit=1, seconds=10), UUID(int=1), UUID(int=2)
    assert [window.allow("a", at, one) for at in (0, 5, 9)] == [True] * 3
    assert [window.allow("a", at, other) for at in (9, 10)] == [False, True]


def test_limit_of_zero_allows_everything() -> None:
    window = RateLimiter(limit=0, seconds=10)
    assert all(window.allow("a", 0) for _ in range(1000))


def test_remaining_hits_and_reset_time() -> None:
    window = RateLimiter(limit=2, seconds=10)
    assert window.seconds_until_reset("a", 0) == 0
    window.allow("a", 0)
    assert (window.remaining("a"), window.seconds_until_reset("a", 4)) == (1, 6)


def test_rate_limiter_drops_the_quietest_key_first() -> None:
    window = RateLimiter(limit=1, seconds=3600, max_keys=10)
    window.allow("busy", 0)
    for number in range(100):
        assert not window.allow("busy", number)
        window.allow(f"passing {number}", number)
    assert not window.allow("busy", 200)
    assert len(window._hits) == 10


@given(
    limit=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 5, allow_nan=False), max_size=60),
)
def test_no_window_contains_more_hits_than_the_limit(limit: int, gaps: list[float]) -> None:
    window, now, taken = RateLimiter(limit, seconds=10), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if window.allow("a", now):
            taken.append(now)
    for index, begin in enumerate(taken):
        assert sum(1 for at in taken[index:] if at - begin < 10) <= limit


def test_network_of_an_address_is_what_one_host_owns() -> None:
    assert network_of(" 192.0.2.1 ") == network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert network_of("unknown") is None

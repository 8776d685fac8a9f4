"""Counting over a moving window, within bounded memory."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from runtime.http.rate_limiter import Window


def test_the_window_moves_with_each_hit() -> None:
    window = Window(limit=2, seconds=10)
    assert [window.hit("a", at) for at in (0, 5, 9, 10, 14, 15)] == [True, True, False, True, False, True]


def test_keys_do_not_share_a_window() -> None:
    window = Window(limit=1, seconds=10)
    assert window.hit("a", 0)
    assert window.hit("b", 0)


def test_one_thing_is_counted_once_while_its_hit_is_in_the_window() -> None:
    window, one, other = Window(limit=1, seconds=10), UUID(int=1), UUID(int=2)
    assert [window.hit("a", at, one) for at in (0, 5, 9)] == [True] * 3
    assert [window.hit("a", at, other) for at in (9, 10)] == [False, True]


def test_a_limit_of_zero_is_no_limit() -> None:
    window = Window(limit=0, seconds=10)
    assert all(window.hit("a", 0) for _ in range(1000))


def test_what_is_left_and_when_it_resets() -> None:
    window = Window(limit=2, seconds=10)
    assert window.resets_in("a", 0) == 0
    window.hit("a", 0)
    assert (window.left("a"), window.resets_in("a", 4)) == (1, 6)


def test_memory_is_bounded_and_forgets_the_quietest_first() -> None:
    window = Window(limit=1, seconds=3600, max_keys=10)
    window.hit("busy", 0)
    for number in range(100):
        assert not window.hit("busy", number)
        window.hit(f"passing {number}", number)
    assert not window.hit("busy", 200)
    assert len(window._hits) == 10


@given(
    limit=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 5, allow_nan=False), max_size=60),
)
def test_no_span_of_the_windows_length_holds_more_than_the_limit(limit: int, gaps: list[float]) -> None:
    window, now, taken = Window(limit, seconds=10), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if window.hit("a", now):
            taken.append(now)
    for index, begin in enumerate(taken):
        assert sum(1 for at in taken[index:] if at - begin < 10) <= limit

"""The reading of a process's usage, and of the requests that an open page repeats."""

import os
import time

from tests.bench.idle.open_page import Poll, find_polls
from tests.bench.idle.usage import Row, Usage, compare, read_usage, total


def test_a_process_that_works_uses_processor_time() -> None:
    before = read_usage(os.getpid())
    busy_until = time.thread_time() + 0.1
    while time.thread_time() < busy_until:
        pass
    time.sleep(0.01)
    after = read_usage(os.getpid())
    assert after.seconds - before.seconds > 0.09
    assert after.wakeups > before.wakeups
    assert after.pss_mb > 5


def test_rows_are_rates_and_the_last_memory() -> None:
    rows = compare({"a": Usage(1.0, 10, 5.0)}, {"a": Usage(1.5, 60, 7.0)}, 50.0)
    assert rows == {"a": Row(600.0, 1.0, 7.0)}
    assert rows["a"].core_percent == 1.0
    assert total({"a": rows["a"], "b": Row(1.0, 2.0, 3.0)}) == Row(601.0, 3.0, 10.0)


def test_polls_are_the_requests_that_a_page_repeats() -> None:
    html = (
        '<div id="a" hx-get="/x?a=1&amp;b=2" hx-trigger="load, every 15s, refresh from:body">'
        '<p hx-get="/once" hx-trigger="load"><span hx-trigger="every 30s" hx-get="/y">'
    )
    assert list(find_polls(html)) == [Poll("/x?a=1&b=2", 15.0), Poll("/y", 30.0)]

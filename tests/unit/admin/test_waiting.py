"""The age of the oldest waiting record, from looks at offsets."""

from services.admin.monitoring.record_age import MAX_LOOKS, Waiting


def test_the_oldest_record_waits_since_the_look_that_saw_it_first() -> None:
    waiting = Waiting()
    assert waiting.seconds("g", 0, committed=0, end=0, now=0) == 0
    assert waiting.seconds("g", 0, committed=0, end=5, now=10) == 0
    assert waiting.seconds("g", 0, committed=0, end=9, now=25) == 15
    # The first five are taken; the sixth was first seen at 25.
    assert waiting.seconds("g", 0, committed=5, end=9, now=40) == 15
    assert waiting.seconds("g", 0, committed=9, end=9, now=55) == 0


def test_a_group_that_keeps_up_never_waits_long() -> None:
    waiting = Waiting()
    ages = [waiting.seconds("g", 0, committed=i * 10 - 3, end=i * 10, now=i * 15.0) for i in range(1, 100)]
    assert max(ages) == 0


def test_a_group_that_stands_still_for_days_keeps_its_first_look_and_little_memory() -> None:
    waiting = Waiting()
    for i in range(1, 5000):
        age = waiting.seconds("g", 0, committed=0, end=i, now=i * 15.0)
    assert age == 4998 * 15
    assert len(waiting._looks["g", 0]) <= MAX_LOOKS


def test_a_recreated_topic_begins_afresh() -> None:
    waiting = Waiting()
    waiting.seconds("g", 0, committed=0, end=50, now=0)
    assert waiting.seconds("g", 0, committed=0, end=2, now=60) == 0

"""The age of the oldest unread record, from readings of offsets."""

from services.admin.monitoring.record_age import MAX_READINGS, RecordAges


def test_a_record_waits_since_the_reading_that_first_included_it() -> None:
    record_ages = RecordAges()
    assert record_ages.seconds("g", 0, committed=0, end=0, now=0) == 0
    assert record_ages.seconds("g", 0, committed=0, end=5, now=10) == 0
    assert record_ages.seconds("g", 0, committed=0, end=9, now=25) == 15
    # The first five are processed. The sixth was first included at 25.
    assert record_ages.seconds("g", 0, committed=5, end=9, now=40) == 15
    assert record_ages.seconds("g", 0, committed=9, end=9, now=55) == 0


def test_a_group_that_keeps_up_has_age_zero() -> None:
    record_ages = RecordAges()
    ages = [
        record_ages.seconds("g", 0, committed=i * 10 - 3, end=i * 10, now=i * 15.0) for i in range(1, 100)
    ]
    assert max(ages) == 0


def test_a_stalled_group_keeps_its_first_reading_in_bounded_memory() -> None:
    record_ages = RecordAges()
    for i in range(1, 5000):
        age = record_ages.seconds("g", 0, committed=0, end=i, now=i * 15.0)
    assert age == 4998 * 15
    assert len(record_ages._readings["g", 0]) <= MAX_READINGS


def test_a_recreated_topic_restarts_at_age_zero() -> None:
    record_ages = RecordAges()
    record_ages.seconds("g", 0, committed=0, end=50, now=0)
    assert record_ages.seconds("g", 0, committed=0, end=2, now=60) == 0

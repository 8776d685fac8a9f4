"""The lag of a consumer group in one partition, computed alike for the watchdog and for operators."""


def lag(committed: int | None, start: int, end: int) -> int:
    """Return how many records of the log the group has not processed yet.

    A group without a committed offset (None), or with one below the start of the log, begins at the start,
    as its consumers do (`auto_offset_reset=earliest`).
    """
    return max(0, end - max(start, committed or 0))

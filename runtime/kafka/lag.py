"""How far a group is behind in one partition: the one computation for the watchdog and for operators."""


def lag(committed: int | None, start: int, end: int) -> int:
    """Return how many records the group has still to take, of those that the log holds.

    A group without a committed offset (None), or with one below the start of the log, begins at the start:
    its consumers do so too (`auto_offset_reset=earliest`).
    """
    return max(0, end - max(start, committed or 0))

"""How long the oldest unread record of a partition has waited, from earlier readings of its end offset.

Kafka does not report the age of a record that nobody reads. A record before the end offset at one reading is
processed once the group has committed that offset. Until then, the time since that reading is a lower bound
of its age. After a restart the ages begin at 0. No I/O, no clock.
"""

from typing import Final

# Each new end offset adds a reading, so a group that makes no progress adds one per poll. Above this
# number every second reading is dropped.
MAX_READINGS: Final = 256


class RecordAges:
    """Stores when each end offset of a group's partitions was first read. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._readings = dict[tuple[str, object], list[tuple[float, int]]]()

    def seconds(self, group: str, partition: object, *, committed: int, end: int, now: float) -> float:
        """Add a reading. Returns for how long the first record after `committed` is known to wait."""
        earlier = self._readings.get((group, partition), [])
        readings = [reading for reading in earlier if committed < reading[1] <= end]
        if end > committed and (not readings or readings[-1][1] < end):
            readings.append((now, end))
        if len(readings) > MAX_READINGS:
            del readings[1:-1:2]
        self._readings[group, partition] = readings
        return now - readings[0][0] if readings else 0.0

"""Estimates how long the oldest unread record of a partition has waited. No I/O, no clock.

Kafka does not report the age of an unread record. So each reading stores the partition's end offset and the
time. A record below that end offset existed at that time. If the group has not committed such a record yet,
the record has waited at least since then. After a restart of the process, the ages begin at 0 again.
"""

from typing import Final

# Each new end offset adds a reading. If a group makes no progress, no reading is removed. Above this number,
# every second reading is dropped.
MAX_READINGS: Final = 256


class RecordAges:
    """Stores when each end offset of a partition was first seen. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._readings = dict[tuple[str, object], list[tuple[float, int]]]()

    def seconds(self, group: str, partition: object, *, committed: int, end: int, now: float) -> float:
        """Add a reading. Return the minimum time, in seconds, that the oldest unread record has waited.

        `committed` is the group's committed offset, and `end` is the partition's end offset.
        """
        earlier = self._readings.get((group, partition), [])
        readings = [reading for reading in earlier if committed < reading[1] <= end]
        if end > committed and (not readings or readings[-1][1] < end):
            readings.append((now, end))
        if len(readings) > MAX_READINGS:
            del readings[1:-1:2]
        self._readings[group, partition] = readings
        return now - readings[0][0] if readings else 0.0

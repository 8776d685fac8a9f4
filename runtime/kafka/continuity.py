"""Notices when a partition was not heard of for so long that its log may have changed. No I/O.

A log loses its tail, or is made anew, only while its broker is away or another one takes over: seconds, in
which no fetch is answered. aiokafka reconnects by itself and tells nobody.
"""

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

# A fetch is answered after 50 ms at most. Kafka needs more than this to choose another leader.
GAP_MS: Final = 2000


class Continuity:
    """Compares the times of the last answered fetches. Look after each poll."""

    def __init__(self) -> None:
        self._heard = dict[TopicPartition, int]()
        self._checked = set[TopicPartition]()
        self.broken = False

    def look(self, consumer: AIOKafkaConsumer) -> None:
        """Set `broken` where a partition was silent and is heard again."""
        for partition in consumer.assignment():
            at = consumer.last_poll_timestamp(partition) or 0
            before = self._heard.get(partition, at)
            self._heard[partition] = at
            if at == before:
                continue
            if partition in self._checked:
                self._checked.discard(partition)  # the first answer after a check ends the gap
            elif abs(at - before) > GAP_MS:
                self.broken = True

    def checked(self, consumer: AIOKafkaConsumer) -> None:
        """Note that the logs were compared with the ledger: whatever came before is of no account."""
        self.look(consumer)
        self._checked = set(consumer.assignment())
        self.broken = False

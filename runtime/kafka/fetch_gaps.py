"""Detects a gap in a partition's fetches after which its log may be another one. No I/O.

A log loses its tail, or is created again, only while its broker is unavailable or another broker takes over.
No fetch is answered in those seconds. aiokafka reconnects by itself and reports nothing.
"""

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

# A fetch is answered after 50 ms at most. Kafka needs longer than this to elect another leader.
GAP_MS: Final = 2000


class FetchGaps:
    """Compares the times of each partition's last answered fetches. Call `update` after each poll."""

    def __init__(self) -> None:
        self._answered_at = dict[TopicPartition, int]()
        self._confirmed = set[TopicPartition]()
        self.found = False

    def update(self, consumer: AIOKafkaConsumer) -> None:
        """Set `found` if a partition was answered again after a gap."""
        for partition in consumer.assignment():
            at = consumer.last_poll_timestamp(partition) or 0
            before = self._answered_at.get(partition, at)
            self._answered_at[partition] = at
            if at == before:
                continue
            if partition in self._confirmed:
                self._confirmed.discard(partition)  # the first answer after a comparison ends the gap
            elif abs(at - before) > GAP_MS:
                self.found = True

    def confirm(self, consumer: AIOKafkaConsumer) -> None:
        """Forget all earlier gaps: the assigned logs were compared with the ledger."""
        self.update(consumer)
        self._confirmed = set(consumer.assignment())
        self.found = False

"""An aiokafka consumer in memory. tests/integration/fake_conformance runs the same cases on both."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

TOPIC = "t"
PARTITION = TopicPartition(TOPIC, 0)
OTHER_PARTITION = TopicPartition(TOPIC, 1)


@dataclass(frozen=True)
class FakeRecord:
    """A record that has a position and no content."""

    partition: int
    offset: int
    topic: str = TOPIC
    timestamp: int = 1
    key: None = None
    value: bytes = b""
    headers: tuple[()] = ()


class FakeClient:
    """The client of a consumer. It is weakly referenced: the product remembers when it last had an answer."""

    def __init__(self) -> None:
        self.answers = True

    async def force_metadata_update(self) -> bool:
        return self.answers

    async def close(self) -> None: ...


class FakeCoordinator:
    """The coordinator of a consumer's group, which knows the group's commits."""

    def __init__(self, consumer: "FakeConsumer") -> None:
        self._consumer = consumer

    async def fetch_committed_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        committed = self._consumer.committed_offsets
        return {each: OffsetAndMetadata(committed.get(each, -1), "") for each in partitions}


class FakeConsumer:
    """A consumer that is assigned all partitions of one topic, and the broker that holds their records.

    Each partition holds the offsets from 0 up to `end`. Change `starts` and `ends` for anything else.
    """

    def __init__(self, end: int = 0, *, partitions: int = 1) -> None:
        assigned = [TopicPartition(TOPIC, number) for number in range(partitions)]
        self.starts = dict.fromkeys(assigned, 0)
        self.ends = dict.fromkeys(assigned, end)
        self.positions = dict.fromkeys(assigned, 0)
        self.committed_offsets: dict[TopicPartition, int] = {}
        self.paused_partitions = set[TopicPartition]()
        self.polled_at: int | None = 1
        self._client = FakeClient()
        self._coordinator = FakeCoordinator(self)
        self._fetcher = None
        # Commits: each one waits for `commits_allowed`, then raises `commit_error` if that is set.
        self.commits_allowed = asyncio.Event()
        self.commits_allowed.set()
        self.commit_error: Exception | None = None
        self.commits_started: list[dict[TopicPartition, int]] = []
        self.commits_finished: list[dict[TopicPartition, int]] = []
        self.running_commits = self.most_running_commits = 0
        # The next poll after the first record raises it, once.
        self.poll_error: Exception | None = None

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def last_poll_timestamp(self, _: TopicPartition) -> int | None:
        return self.polled_at

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.commits_started.append(dict(offsets))
        self.running_commits += 1
        self.most_running_commits = max(self.most_running_commits, self.running_commits)
        try:
            await self.commits_allowed.wait()
            if self.commit_error:
                raise self.commit_error
            self.commits_finished.append(dict(offsets))
            self.committed_offsets |= offsets
        finally:
            self.running_commits -= 1

    async def committed(self, partition: TopicPartition) -> int | None:
        return self.committed_offsets.get(partition)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        if any(self.positions.values()) and self.poll_error:
            error, self.poll_error = self.poll_error, None
            raise error
        found = dict[TopicPartition, list[Any]]()
        room = max_records or 500
        for each in sorted(self.positions.keys() - self.paused_partitions):
            if partitions and each not in partitions:
                continue
            first = max(self.positions[each], self.starts[each])
            records = [
                FakeRecord(each.partition, n) for n in range(first, min(self.ends[each], first + room))
            ]
            self.positions[each] = first + len(records)
            if records:
                found[each] = records
            if not (room := room - len(records)):
                break
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return found

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused_partitions |= set(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self.paused_partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused_partitions -= set(partitions)

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {each: self.starts[each] for each in partitions}

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {each: self.ends[each] for each in partitions}

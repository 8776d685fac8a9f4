"""One client's connection to a broker: it decodes the requests and answers them in their order.

The formats are aiokafka's own classes. As in Kafka, a connection's next request is not read before the
previous one is answered.
"""

import asyncio
import struct
from collections import deque
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.protocol.api import RequestHeader_v1

from tests.schedules.broker.group import REBALANCE_IN_PROGRESS
from tests.schedules.broker.partition_log import PartitionLog
from tests.schedules.broker.requests import REQUESTS

if TYPE_CHECKING:
    from tests.schedules.broker.cluster import Cluster, Node

OFFSET_OUT_OF_RANGE: Final = 1
UNKNOWN_TOPIC_OR_PARTITION: Final = 3
LEADER_NOT_AVAILABLE: Final = 5
NOT_LEADER: Final = 6
COORDINATOR_LOADING: Final = 14
COORDINATOR_NOT_AVAILABLE: Final = 15
NOT_COORDINATOR: Final = 16
MAX_RESPONSE_BYTES: Final = 1 << 20
# The consumers of a group have the service's name. What reads beside them has the name that aiokafka gives.
_UNNAMED_CLIENT: Final = "aiokafka-"


class NodeConnection(asyncio.Protocol):
    """A connection to one node of the cluster."""

    def __init__(self, cluster: "Cluster", node: "Node") -> None:
        self._cluster, self._node = cluster, node
        self._transport: Any = None
        self._client = ""
        self._is_reader = False  # reads a log outside of a group, as a comparison and a recovery do
        self._received = bytearray()
        self._requests = deque[bytes]()
        self._serving: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._client = transport.process.name

    def connection_lost(self, _: Exception | None) -> None:
        if self._serving:
            self._serving.cancel()
        if self in self._cluster.connections:
            self._cluster.connections.remove(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 4:
            (size,) = struct.unpack_from(">i", self._received)
            if len(self._received) < 4 + size:
                break
            self._requests.append(bytes(self._received[4 : 4 + size]))
            del self._received[: 4 + size]
        self.resume()

    def resume(self) -> None:
        """Serve the requests that wait, unless the node is silent."""
        if self._requests and not self._node.silent and (self._serving is None or self._serving.done()):
            self._serving = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        while self._requests and not self._node.silent:
            buffer = BytesIO(self._requests.popleft())
            header = RequestHeader_v1.SCHEMA.decode(buffer)
            key, _, correlation_id, client_id = header
            self._is_reader = client_id.startswith(_UNNAMED_CLIENT)
            request = REQUESTS[key].decode(buffer)
            body = await getattr(self, _HANDLERS[key])(request, self._client)
            response = request.RESPONSE_TYPE(*body).encode()
            while self._node.silent:  # noqa: ASYNC110 - the answer waits too
                await asyncio.sleep(0.1)
            self._transport.write(struct.pack(">ii", len(response) + 4, correlation_id) + response)

    # --- metadata --------------------------------------------------------------------------------------

    async def _api_versions(self, _: Any, __: str) -> Any:
        return 0, [(key, each.API_VERSION, each.API_VERSION) for key, each in REQUESTS.items()]

    async def _metadata(self, request: Any, _: str) -> Any:
        # A rack, because aiokafka has a set of tuples with it, and the hash of None differs in each process.
        nodes = [(each.node_id, *each.address, "rack") for each in self._cluster.nodes.values() if each.up]
        by_topic = dict[str, list[tuple[int, PartitionLog]]]()
        for partition, log in self._cluster.logs.items():
            by_topic.setdefault(partition.topic, []).append((partition.partition, log))
        wanted = by_topic if request.topics is None else request.topics
        topics = list[Any]()
        for topic in wanted:
            if topic not in by_topic:
                topics.append((UNKNOWN_TOPIC_OR_PARTITION, topic, False, []))
                continue
            partitions: list[Any] = [
                (LEADER_NOT_AVAILABLE, number, -1, [0], [], [])
                if log.leader is None
                else (0, number, log.leader, [log.leader], [log.leader], [])
                for number, log in sorted(by_topic[topic], key=lambda each: each[0])
            ]
            topics.append((0, topic, False, partitions))
        return 0, nodes, "simulated", nodes[0][0] if nodes else -1, topics

    def _find_log(self, partition: TopicPartition) -> tuple[int, Any]:
        log = self._cluster.logs.get(partition)
        if log is None:
            return UNKNOWN_TOPIC_OR_PARTITION, None
        return (0, log) if log.leader == self._node.node_id else (NOT_LEADER, None)

    # --- records ---------------------------------------------------------------------------------------

    async def _init_producer_id(self, _: Any, __: str) -> Any:
        return 0, 0, next(self._cluster.producer_ids), 0

    async def _produce(self, request: Any, client: str) -> Any:
        answers = list[Any]()
        for topic, partitions in request.topics:
            written = list[Any]()
            for number, data in partitions:
                error, log = self._find_log(TopicPartition(topic, number))
                offset = self._cluster.append(TopicPartition(topic, number), data) if log else -1
                if log:
                    self._cluster.note(f"{client} wrote {topic}/{number} at {offset}")
                written.append((number, error, offset, -1, 0))
            answers.append((topic, written))
        return answers, 0

    async def _fetch(self, request: Any, client: str) -> Any:
        for topic, partitions in request.topics:
            for number, _, offset, *_ in partitions:
                if not self._is_reader:
                    self._cluster.on_fetch(client, TopicPartition(topic, number), offset)
        deadline = asyncio.get_running_loop().time() + request.max_wait_time / 1000
        while True:
            appended = self._cluster.appended
            topics, ready = self._read(request)
            left = deadline - asyncio.get_running_loop().time()
            if ready or left <= 0:
                return 0, 0, 0, topics
            try:
                await asyncio.wait_for(appended.wait(), left)
            except TimeoutError:
                return 0, 0, 0, self._read(request)[0]

    def _read(self, request: Any) -> tuple[list[Any], bool]:
        """Return the response's topics, and whether it has records or an error."""
        topics, ready = list[Any](), False
        for topic, partitions in request.topics:
            answers = list[Any]()
            for number, _, offset, _, max_bytes in partitions:
                error, log = self._find_log(TopicPartition(topic, number))
                end, start, data = -1, -1, b""
                if log:
                    end, start = log.end, log.start
                    if start <= offset <= end:
                        data = log.read(offset, min(max_bytes, MAX_RESPONSE_BYTES))
                    else:
                        error = OFFSET_OUT_OF_RANGE
                ready = ready or bool(data or error)
                answers.append((number, error, end, end, start, None, -1, data))
            topics.append((topic, answers))
        return topics, ready

    async def _list_offsets(self, request: Any, _: str) -> Any:
        topics = list[Any]()
        for topic, partitions in request.topics:
            answers = list[Any]()
            for number, timestamp in partitions:
                error, log = self._find_log(TopicPartition(topic, number))
                found = (-1, -1)
                if log:
                    found = {-1: (-1, log.end), -2: (-1, log.start)}.get(timestamp) or log.offset_at(
                        timestamp
                    )
                answers.append((number, error, *found))
            topics.append((topic, answers))
        return 0, topics

    # --- groups ----------------------------------------------------------------------------------------

    def _group_error(self) -> int:
        if self._cluster.coordinator("") is not self._node:
            return NOT_COORDINATOR
        loading = asyncio.get_running_loop().time() < self._cluster.loading_until
        return COORDINATOR_LOADING if loading else 0

    async def _find_coordinator(self, request: Any, _: str) -> Any:
        node = self._cluster.coordinator(request.coordinator_key)
        if node is None:
            return 0, COORDINATOR_NOT_AVAILABLE, None, -1, "", -1
        return 0, 0, None, node.node_id, *node.address

    async def _join(self, request: Any, client: str) -> Any:
        if error := self._group_error():
            return 0, error, -1, "", "", request.member_id, []
        joined = await self._cluster.group(request.group).join(
            request.member_id,
            client,
            request.session_timeout / 1000,
            request.rebalance_timeout / 1000,
            [(name, bytes(data)) for name, data in request.group_protocols],
        )
        return (
            0,
            joined.error,
            joined.generation,
            joined.protocol,
            joined.leader,
            joined.member_id,
            joined.members,
        )

    async def _sync(self, request: Any, _: str) -> Any:
        if error := self._group_error():
            # A coordinator that loads the group has lost the rebalance: the members join again.
            return 0, REBALANCE_IN_PROGRESS if error == COORDINATOR_LOADING else error, b""
        assignments = [(member, bytes(data)) for member, data in request.group_assignment]
        group = self._cluster.group(request.group)
        return 0, *await group.sync(request.member_id, request.generation_id, assignments)

    async def _heartbeat(self, request: Any, _: str) -> Any:
        error = self._group_error()
        if error == COORDINATOR_LOADING:
            return 0, 0  # Kafka answers so until it knows the members
        group = self._cluster.group(request.group)
        return 0, error or group.heartbeat(request.member_id, request.generation_id)

    async def _leave(self, request: Any, _: str) -> Any:
        return 0, self._group_error() or self._cluster.group(request.group).leave(request.member_id)

    async def _commit(self, request: Any, client: str) -> Any:
        offsets = {
            TopicPartition(topic, number): offset
            for topic, partitions in request.topics
            for number, offset, _ in partitions
        }
        error = self._group_error()
        if self._cluster.refuse_commits:
            error = COORDINATOR_NOT_AVAILABLE
        if not error:
            group = self._cluster.group(request.consumer_group)
            error = group.commit(request.consumer_id, request.consumer_group_generation_id, offsets)
        text = " ".join(f"{each.topic}/{each.partition}={offset}" for each, offset in offsets.items())
        self._cluster.note(f"{client} commits {text}" + (f": error {error}" if error else ""))
        return 0, [
            (topic, [(number, error) for number, _, _ in partitions]) for topic, partitions in request.topics
        ]

    async def _offset_fetch(self, request: Any, _: str) -> Any:
        if error := self._group_error():
            return 0, [], error
        offsets = self._cluster.group(request.consumer_group).offsets
        topics = [
            (topic, [(each, offsets.get(TopicPartition(topic, each), -1), "", 0) for each in numbers])
            for topic, numbers in request.topics or []
        ]
        return 0, topics, 0


_HANDLERS: Final = {
    0: "_produce",
    1: "_fetch",
    2: "_list_offsets",
    3: "_metadata",
    8: "_commit",
    9: "_offset_fetch",
    10: "_find_coordinator",
    11: "_join",
    12: "_heartbeat",
    13: "_leave",
    14: "_sync",
    18: "_api_versions",
    22: "_init_producer_id",
}

"""The cluster: its nodes, topics and groups, and the faults that a schedule causes."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from tests.schedules.broker.connection import NodeConnection
from tests.schedules.broker.group import Group
from tests.schedules.broker.partition_log import PartitionLog
from tests.schedules.simulation.network import Address, Network

PORT: Final = 9092
# Kafka needs longer than `prefetch.GAP_MS` to elect another leader.
ELECTION_SECONDS: Final = 3.0


@dataclass
class Node:
    """One broker. While it is `silent`, it takes requests and answers none."""

    node_id: int
    address: Address
    up: bool = True
    stops: int = 0  # how many faults keep it down: it starts after the last of them
    silent: bool = False


class Cluster:
    """A Kafka cluster. Its methods that cause faults take effect at once."""

    def __init__(self, network: Network, nodes: int = 1, note: Callable[..., None] = lambda *_: None) -> None:
        self._network = network
        self.note = note
        self.nodes = {number: Node(number, (f"broker-{number}", PORT)) for number in range(nodes)}
        self.logs: dict[TopicPartition, PartitionLog] = {}
        self.groups: dict[str, Group] = {}
        self.loading_until = 0.0  # the coordinators load their groups until this time
        self.appended = asyncio.Event()  # set, and replaced, after each append
        self.refuse_commits = False
        self.on_fetch: Callable[[str, TopicPartition, int], None] = lambda *_: None
        self.producer_ids = itertools.count(1)
        self.connections: list[NodeConnection] = []
        for node in self.nodes.values():
            self._listen(node)

    @property
    def bootstrap_servers(self) -> str:
        """Return the addresses of all nodes, for a client's settings. They stay when nodes move."""
        return ",".join(f"broker-{number}:{PORT}" for number in self.nodes)

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create a topic whose partitions are led by the nodes in turn."""
        for number in range(partitions):
            self.logs[TopicPartition(topic, number)] = PartitionLog(number % len(self.nodes))

    def group(self, name: str) -> Group:
        """Return a group; create it if it is not known."""
        if name not in self.groups:
            self.groups[name] = Group(name, self.note)
        return self.groups[name]

    def coordinator(self, _: str) -> Node | None:
        """Return the node that coordinates all groups: the first that is up."""
        return next((node for node in self.nodes.values() if node.up), None)

    def append(self, partition: TopicPartition, data: bytes) -> int:
        """Append a batch, and wake the fetches that wait for records."""
        offset = self.logs[partition].append(data)
        self.wake_fetches()
        return offset

    def wake_fetches(self) -> None:
        """Let the fetches that wait look at their partitions again."""
        self.appended.set()
        self.appended = asyncio.Event()

    # --- faults ----------------------------------------------------------------------------------------

    def stop_node(self, number: int) -> None:
        """Stop a broker: its connections end. After `ELECTION_SECONDS` another node leads its partitions."""
        node = self.nodes[number]
        node.stops += 1
        node.up = False
        for address in {node.address, (f"broker-{number}", PORT)}:
            self._network.close(address)
        for log in self.logs.values():
            if log.leader == number:
                log.leader = None
        self.wake_fetches()
        asyncio.get_running_loop().call_later(ELECTION_SECONDS, self._elect)

    def start_node(self, number: int, *, elsewhere: bool = False) -> None:
        """Start a broker again; `elsewhere` gives it another address, which only bootstrap servers tell."""
        node = self.nodes[number]
        node.stops -= 1
        if node.stops:
            return
        if elsewhere:
            node.address = (f"moved-{number}", PORT)
        node.up = True
        self._listen(node)
        self._elect()
        for group in self.groups.values():
            group.touch_all()

    def silence(self, number: int, *, silent: bool) -> None:
        """Let a broker take requests without answering, or answer again."""
        self.nodes[number].silent = silent
        if not silent:
            for connection in self.connections:
                connection.resume()
            for group in self.groups.values():
                group.touch_all()

    def lose_tail(self, partition: TopicPartition, records: int) -> int:
        """Lose the last records of a partition; return the new end."""
        log = self.logs[partition]
        log.truncate(max(log.start, log.end - records))
        return log.end

    def _elect(self) -> None:
        up = [node.node_id for node in self.nodes.values() if node.up]
        for number, log in enumerate(self.logs.values()):
            if log.leader not in up:
                log.leader = up[number % len(up)] if up else None

    def _listen(self, node: Node) -> None:
        def accept() -> NodeConnection:
            connection = NodeConnection(self, node)
            self.connections.append(connection)
            return connection

        self._network.listen(node.address, accept)
        self._network.listen((f"broker-{node.node_id}", PORT), accept)

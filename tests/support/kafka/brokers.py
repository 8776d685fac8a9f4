"""Kafka clusters: three brokers as production has at least, and one whose broker moves."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.embedded.servers.kafka import new_cluster_id
from deploy.embedded.servers.standalone import Kafka as Broker
from deploy.embedded.servers.standalone import free_ports

_PROPERTIES = """
node.id={node}
controller.quorum.voters={voters}

# Every record of Kafka's own too on three, written to two at least: a group's offsets must outlive a broker.
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
# A follower that stopped leaves the set after this, not after 30 s.
replica.lag.time.max.ms=5000
"""


class ClusterPlan:
    """The brokers of one cluster: what is the same for all, and how to prepare one of them again."""

    def __init__(self, folder: Path, count: int = 3, properties: str = "") -> None:
        """Choose ports for `count` brokers. Later `properties` count."""
        self._folder = folder
        self._properties = properties
        self.controllers = free_ports(count)
        self._cluster = new_cluster_id()

    def home(self, node: int) -> Path:
        """Return the folder of the data of a broker. Nodes are numbered from 1."""
        return self._folder / f"broker-{node}"

    def prepare_node(self, node: int, port: int | None = None) -> Broker:
        """Return a broker, not started, on this port or a free one, with the data that its folder has."""
        voters = ",".join(f"{each}@127.0.0.1:{at}" for each, at in enumerate(self.controllers, 1))
        self.home(node).mkdir(exist_ok=True)
        return Broker(
            self.home(node),
            port,
            self.controllers[node - 1],
            properties=_PROPERTIES.format(node=node, voters=voters) + self._properties,
            cluster_id=self._cluster,
        )

    def prepare(self) -> list[Broker]:
        """Return all brokers, not started."""
        nodes = range(1, len(self.controllers) + 1)
        ports = free_ports(len(nodes))
        with ThreadPoolExecutor(len(nodes)) as pool:
            return list(pool.map(self.prepare_node, nodes, ports))


def prepare_brokers(folder: Path, count: int = 3, properties: str = "") -> list[Broker]:
    """Return the brokers of one cluster, each in a folder of its own; later `properties` count."""
    return ClusterPlan(folder, count, properties).prepare()


@contextlib.contextmanager
def running_brokers(folder: Path, count: int = 3, properties: str = "") -> Iterator[list[Broker]]:
    """Run the brokers of `prepare_brokers` while the block lasts."""
    brokers = prepare_brokers(folder, count, properties)
    with ThreadPoolExecutor(count) as pool:
        try:
            # At once: none answers before most of them are there.
            list(pool.map(Broker.start, brokers))
            yield brokers
        finally:
            list(pool.map(Broker.stop, brokers))


# Clients bootstrap on one port and are sent to another, as with a load balancer or a DNS name in front.
_MOVED = """
node.id={node}
controller.quorum.voters={node}@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{bootstrap},DATA://127.0.0.1:{data},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised},DATA://127.0.0.1:{data}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,DATA:PLAINTEXT
inter.broker.listener.name=DATA
"""


class MovingBroker:
    """A cluster of one broker at one bootstrap address, whose advertised address and node id change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bootstrap, self._controller = free_ports(2)
        self._broker: Broker | None = None
        self.bootstrap_servers = f"127.0.0.1:{self._bootstrap}"

    def move(self, node: int = 1, data: int = 0, advertised: int = 0) -> None:
        """Stop the broker and start it elsewhere. Another `node` is another cluster, with an empty log."""
        self.stop()
        data = data or free_ports(1)[0]
        home = self._folder / f"node-{node}"
        home.mkdir(exist_ok=True)
        self._broker = Broker(
            home,
            self._bootstrap,
            self._controller,
            properties=_MOVED.format(
                node=node,
                controller=self._controller,
                bootstrap=self._bootstrap,
                data=data,
                advertised=advertised or data,
            ),
        )
        self._broker.start()

    def stop(self) -> None:
        """Stop the broker."""
        if self._broker:
            self._broker.stop()
            self._broker = None

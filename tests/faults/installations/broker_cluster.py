"""An installation whose Kafka is a cluster of three brokers, without a proxy before it."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiokafka.errors import KafkaError

from contracts import topics
from deploy.cli.topic_provisioning import OFFSETS_TOPIC, open_admin, read_layout
from deploy.embedded.servers import standalone
from deploy.embedded.servers.standalone import Kafka as Broker
from runtime.settings import Kafka
from tests.faults.environment import TRACING, Environment
from tests.faults.injections.proxy import Proxy, own_port
from tests.faults.servers import start_part
from tests.support.kafka.brokers import prepare_brokers
from tests.support.wait import eventually

# After a kill, a broker checks its logs, fetches what it lacks, and joins the replicas in sync again.
WHOLE_SECONDS = 120.0


class BrokerCluster:
    """Brokers of one cluster, with the interface of one server."""

    def __init__(self, brokers: list[Broker]) -> None:
        self.brokers = brokers
        self.bootstrap_servers = ",".join(broker.bootstrap_servers for broker in brokers)

    @property
    def alive(self) -> bool:
        return all(broker.alive for broker in self.brokers)

    @property
    def pid(self) -> int:
        return self.brokers[0].pid

    def start(self) -> None:
        """Start all at once: none answers before most of them are there."""
        self._each(Broker.start)

    def stop(self) -> None:
        self._each(Broker.stop)

    def kill(self) -> None:
        self._each(Broker.kill)

    def _each(self, action: Callable[[Broker], None]) -> None:
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(action, self.brokers))

    async def leader(self, topic: str, partition: int) -> Broker:
        """Return the broker that leads a partition. Raises `KafkaError` while there is none."""
        async with open_admin(Kafka(bootstrap_servers=self.bootstrap_servers), "faults") as admin:
            (described,) = await admin.describe_topics([topic])
        (node,) = (each["leader"] for each in described["partitions"] if each["partition"] == partition)
        leading: int = node
        return self.brokers[leading - 1]

    async def is_whole(self) -> bool:
        """Return True once every broker has all records."""
        names = [topic.name for topic in topics.ALL] + [OFFSETS_TOPIC]
        try:
            async with open_admin(Kafka(bootstrap_servers=self.bootstrap_servers), "faults") as admin:
                in_sync = await read_layout(admin, names, of="isr")
        except (KafkaError, OSError, TimeoutError):  # one starts
            return False
        return min(len(nodes) for nodes in in_sync.values()) == len(self.brokers)

    async def become_whole(self) -> None:
        """Resume or start each broker, and wait until each has all records."""
        dead = []
        for broker in self.brokers:
            if broker.alive:
                os.kill(broker.pid, signal.SIGCONT)
            else:
                dead.append(start_part(broker))
        await asyncio.gather(*dead)
        await eventually(self.is_whole, seconds=WHOLE_SECONDS, every=0.5, what="all replicas in sync")


class ClusterEnvironment(Environment):
    """The installation."""

    kafka: BrokerCluster

    @classmethod
    async def build_cluster(cls, folder: Path) -> "ClusterEnvironment":
        """Return the installation in this folder, not started."""
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        cluster = BrokerCluster(await asyncio.to_thread(prepare_brokers, folder))
        database = await asyncio.to_thread(standalone.Postgres, folder, own_port(), TRACING)
        environment = cls.assemble(folder, cluster, database, Proxy(0), replicas=len(cluster.brokers))
        environment.prepare_services()
        return environment

    @property
    def bootstrap_servers(self) -> str:
        return self.kafka.bootstrap_servers

    async def heal_servers(self) -> None:
        await self.kafka.become_whole()
        if not self.postgres.alive:
            await start_part(self.postgres)


def cluster_of(environment: Environment) -> BrokerCluster:
    """Return the brokers of an installation of this module."""
    assert isinstance(environment, ClusterEnvironment)
    return environment.kafka


async def kill_leader(environment: Environment, rng: random.Random) -> None:
    """Kill the broker that leads a partition of the received leads, and start it again."""
    cluster = cluster_of(environment)
    async with environment.exclusive("kafka"):
        partition = rng.randrange(topics.RECEIVED.partitions)
        victim = await cluster.leader(topics.RECEIVED.name, partition)
        environment.log_event(f"kill -9 broker {_number(cluster, victim)}, which leads partition {partition}")
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(rng.uniform(3, 9))
        await cluster.become_whole()
        environment.log_event("all replicas are in sync again")


def killed(count: int) -> Callable[[Environment, random.Random], Awaitable[None]]:
    """Kill some brokers, one shortly after the other, and start them again."""

    async def action(environment: Environment, rng: random.Random) -> None:
        cluster = cluster_of(environment)
        async with environment.exclusive("kafka"):
            for victim in rng.sample(cluster.brokers, count):
                environment.log_event(f"kill -9 broker {_number(cluster, victim)}")
                await asyncio.to_thread(victim.kill)
                await asyncio.sleep(rng.choice((0.0, rng.uniform(0, 5))))
            await asyncio.sleep(rng.uniform(3, 9))
            await cluster.become_whole()
            environment.log_event("all replicas are in sync again")

    return action


def hung(count: int) -> Callable[[Environment, random.Random], Awaitable[None]]:
    """Suspend some brokers (SIGSTOP), and resume them."""

    async def action(environment: Environment, rng: random.Random) -> None:
        cluster = cluster_of(environment)
        async with environment.exclusive("kafka"):
            victims, seconds = rng.sample(cluster.brokers, count), rng.uniform(4, 15)
            names = " and ".join(str(_number(cluster, victim)) for victim in victims)
            environment.log_event(f"SIGSTOP broker {names} for {seconds:.0f} s")
            for victim in victims:
                os.kill(victim.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                for victim in victims:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim.pid, signal.SIGCONT)
            await cluster.become_whole()
            environment.log_event("all replicas are in sync again")

    return action


async def leader_killed_alone(environment: Environment, rng: random.Random) -> None:
    """Suspend the followers of a partition, then kill its leader: only its disk has the last records."""
    cluster = cluster_of(environment)
    async with environment.exclusive("kafka"):
        partition = rng.randrange(topics.RECEIVED.partitions)
        leader = await cluster.leader(topics.RECEIVED.name, partition)
        followers = [broker for broker in cluster.brokers if broker is not leader]
        environment.log_event(f"SIGSTOP all brokers but {_number(cluster, leader)}, which leads {partition}")
        for follower in followers:
            os.kill(follower.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(rng.uniform(4, 8))
            environment.log_event(f"kill -9 broker {_number(cluster, leader)}, and resume the others")
            await asyncio.to_thread(leader.kill)
        finally:
            for follower in followers:
                os.kill(follower.pid, signal.SIGCONT)
        await asyncio.sleep(rng.uniform(12, 18))  # the others elect leaders
        await cluster.become_whole()
        environment.log_event("all replicas are in sync again")


async def rolled(environment: Environment, rng: random.Random) -> None:
    """Restart each broker in a random order, the next one when the last has all records again."""
    cluster = cluster_of(environment)
    async with environment.exclusive("kafka"):
        for broker in rng.sample(cluster.brokers, len(cluster.brokers)):
            environment.log_event(f"broker {_number(cluster, broker)} restarts")
            await asyncio.to_thread(broker.stop)
            await cluster.become_whole()
        environment.log_event("all replicas are in sync again")


def _number(cluster: BrokerCluster, broker: Broker) -> int:
    return cluster.brokers.index(broker) + 1

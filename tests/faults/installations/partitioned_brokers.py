"""Three brokers with a network namespace each, of which one loses the others while clients still reach it."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Final

from contracts import topics
from deploy.embedded.servers import standalone
from tests.faults.environment import TRACING, Environment
from tests.faults.injections.network import Network
from tests.faults.injections.proxy import Proxy, own_port
from tests.faults.installations.broker_cluster import BrokerCluster, ClusterEnvironment
from tests.faults.installations.partitioned import BOTH
from tests.support.kafka.brokers import ClusterPlan

CATCH_UP_SECONDS: Final = 5.0
_ADDRESSES: Final = """
controller.quorum.voters={voters}
listeners=PLAINTEXT://{address}:{port},CONTROLLER://{address}:{controller}
advertised.listeners=PLAINTEXT://{address}:{port}
"""


class PartitionedClusterEnvironment(ClusterEnvironment):
    """The installation. The services have the network of this process."""

    network: Network

    @classmethod
    async def build_with_networks(cls, folder: Path) -> "PartitionedClusterEnvironment":
        """Return the installation in this folder, not started."""
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        network = Network()
        await asyncio.to_thread(network.open)
        try:
            cluster = await asyncio.to_thread(_prepare, folder, network)
            database = await asyncio.to_thread(standalone.Postgres, folder, own_port(), TRACING)
            environment = cls.assemble(folder, cluster, database, Proxy(0), replicas=len(cluster.brokers))
            environment.network = network
            environment.prepare_services()
        except BaseException:
            network.close()
            raise
        return environment

    async def heal_servers(self) -> None:
        await asyncio.to_thread(self.network.heal)
        await super().heal_servers()

    async def stop_servers(self, *, keep: bool) -> None:
        try:
            await super().stop_servers(keep=keep)
        finally:
            await asyncio.to_thread(self.network.close)


def _prepare(folder: Path, network: Network) -> BrokerCluster:
    """Return the brokers, each of which will start in a namespace of its own."""
    plan = ClusterPlan(folder)
    brokers = plan.prepare()
    addresses = [network.add(_member(node)) for node in range(1, len(brokers) + 1)]
    voters = ",".join(
        f"{node}@{address}:{port}"
        for node, (address, port) in enumerate(zip(addresses, plan.controllers, strict=True), 1)
    )
    for node, (broker, address) in enumerate(zip(brokers, addresses, strict=True), 1):
        lines = _ADDRESSES.format(
            voters=voters, address=address, port=broker.port, controller=plan.controllers[node - 1]
        )
        with (plan.home(node) / "kafka" / "server.properties").open("a") as file:
            file.write(lines)
        command = (*network.command(_member(node)), *broker.launch.command)
        broker.launch = replace(broker.launch, command=command)
        broker.bootstrap_servers = f"{address}:{broker.port}"
    return BrokerCluster(brokers)


def _member(node: int) -> str:
    return f"broker{node}"


async def leader_cut_off(environment: Environment, rng: random.Random) -> None:
    """Cut the leader of a partition off from the other brokers. Clients reach it, and it believes to lead."""
    assert isinstance(environment, PartitionedClusterEnvironment)
    cluster, network = environment.kafka, environment.network
    async with environment.exclusive("kafka"):
        partition = rng.randrange(topics.RECEIVED.partitions)
        leader = await cluster.leader(topics.RECEIVED.name, partition)
        cut = cluster.brokers.index(leader) + 1
        others = [node for node in range(1, len(cluster.brokers) + 1) if node != cut]
        environment.log_event(f"broker {cut}, which leads partition {partition}, loses the other brokers")
        for node in others:
            for way in BOTH:
                await asyncio.to_thread(
                    network.lose, _member(cut), way, address=network.addresses[_member(node)]
                )
        await asyncio.sleep(rng.uniform(12, 25))
        await asyncio.to_thread(network.heal)
        environment.log_event("the network is whole again")
        # Until it has read what the others decided, the broker says that all replicas are in sync.
        await asyncio.sleep(CATCH_UP_SECONDS)
        await cluster.become_whole()
        environment.log_event("all replicas are in sync again")

"""Three brokers behind one bootstrap name that come back elsewhere: at other addresses, or with empty disks.

The name is a proxy that leads to the broker that was moved last. It tells clients the brokers' own addresses.
"""

import asyncio
import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.embedded.servers import standalone
from deploy.embedded.servers.standalone import Kafka as Broker
from tests.faults.environment import TRACING, Action, Environment
from tests.faults.injections.proxy import Proxy, own_port
from tests.faults.installations.broker_cluster import BrokerCluster, ClusterEnvironment
from tests.faults.servers import start_part
from tests.support.kafka.brokers import ClusterPlan


class MovingEnvironment(ClusterEnvironment):
    """The installation."""

    plan: ClusterPlan

    @classmethod
    async def build_moving(cls, folder: Path) -> "MovingEnvironment":
        """Return the installation in this folder, not started."""
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        plan = ClusterPlan(folder)
        cluster = BrokerCluster(await asyncio.to_thread(plan.prepare))
        database = await asyncio.to_thread(standalone.Postgres, folder, own_port(), TRACING)
        name = Proxy(cluster.brokers[0].port)
        environment = cls.assemble(folder, cluster, database, name, replicas=len(cluster.brokers))
        environment.plan = plan
        environment.prepare_services()
        return environment

    @property
    def bootstrap_servers(self) -> str:
        return f"{self.kafka_proxy.host}:{self.kafka_proxy.port}"

    async def move(self, number: int, *, empty: bool = False) -> None:
        """Stop a broker, and start it on another port. `empty`: with a new disk."""
        old = self.kafka.brokers[number]
        await asyncio.to_thread(old.stop)
        if empty:
            await asyncio.to_thread(shutil.rmtree, self.plan.home(number + 1))
        moved = await asyncio.to_thread(self.plan.prepare_node, number + 1)
        self.kafka.brokers[number] = moved
        self.kafka.bootstrap_servers = ",".join(each.bootstrap_servers for each in self.kafka.brokers)
        self.poison.bootstrap_servers = self.kafka.bootstrap_servers

    async def start_moved(self, *numbers: int) -> None:
        """Start brokers that were moved; the name leads to the last of them."""
        await asyncio.gather(*(start_part(self.kafka.brokers[number]) for number in numbers))
        self.kafka_proxy.target_port = self.kafka.brokers[numbers[-1]].port


def moved_in_turn(*, empty: bool) -> Action:
    """Move each broker in a random order, the next one when all replicas are in sync again."""

    async def action(environment: Environment, rng: random.Random) -> None:
        assert isinstance(environment, MovingEnvironment)
        async with environment.exclusive("kafka"):
            for number in rng.sample(range(len(environment.kafka.brokers)), len(environment.kafka.brokers)):
                await environment.move(number, empty=empty)
                await environment.start_moved(number)
                environment.log_event(
                    f"broker {number + 1} is at another port" + (", with an empty disk" if empty else "")
                )
                await environment.kafka.become_whole()
            environment.log_event("all replicas are in sync")

    return action


def moved_at_once(*, deaf: bool) -> Action:
    """Stop all brokers, and start all elsewhere. `deaf`: the old ports accept connections only."""

    async def action(environment: Environment, rng: random.Random) -> None:
        assert isinstance(environment, MovingEnvironment)
        numbers = range(len(environment.kafka.brokers))
        async with environment.exclusive("kafka"):
            old: list[Broker] = list(environment.kafka.brokers)
            await asyncio.gather(*(environment.move(number) for number in numbers))
            environment.log_event("all brokers are stopped")
            with ExitStack() as stack:
                if deaf:
                    for broker in old:
                        stack.enter_context(_deaf(broker.port))
                    environment.log_event("their ports accept connections, and nobody answers")
                await asyncio.sleep(rng.uniform(0, 5))
                await environment.start_moved(*numbers)
                environment.log_event("all brokers are at other ports")
                await environment.kafka.become_whole()
                await asyncio.sleep(rng.uniform(5, 10))
            environment.log_event("all replicas are in sync")

    return action


@contextmanager
def _deaf(port: int) -> Iterator[None]:
    """Listen on a port without accepting: the kernel completes connections, and nothing answers."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        yield

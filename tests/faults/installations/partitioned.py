"""An installation whose services have a network namespace each, and partitions between them and the servers.

Kafka and PostgreSQL listen on the bridge, without a proxy: a connection that a partition cuts stays half
open, at one end or at both, as between machines.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.embedded.servers import postgres, standalone
from tests.faults.environment import TRACING, Action, Environment
from tests.faults.injections.network import Lost, Network
from tests.faults.injections.proxy import Proxy, own_port
from tests.faults.servers import listen_behind_proxy
from tests.support.services.one_process import Role
from tests.support.services.processes import ServiceProcess

CONSUMERS: Final = ("persister", "notifier", "webhooks", "flusher")
# Several transactions begin in this time, and none ends. The services give up a statement after 20 s.
COMMIT_LOST_SECONDS: Final = 8.0
BOTH: Final[tuple[Lost, ...]] = ("sent", "received")


class PartitionedEnvironment(Environment):
    """The installation."""

    network: Network

    @classmethod
    async def build_partitioned(cls, folder: Path) -> "PartitionedEnvironment":
        """Return the installation in this folder, not started."""
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        network = Network()
        await asyncio.to_thread(network.open)
        try:
            return await cls._build_in(network, folder)
        except BaseException:
            network.close()
            raise

    @classmethod
    async def _build_in(cls, network: Network, folder: Path) -> "PartitionedEnvironment":
        kafka = await asyncio.to_thread(standalone.Kafka, folder, own_port())
        port = own_port()
        listen_behind_proxy(folder, port, port, network.host)
        listening = TRACING | {"listen_addresses": f"127.0.0.1,{network.host}"}
        database = await asyncio.to_thread(standalone.Postgres, folder, own_port(), listening)
        with (postgres.cluster_folder(folder) / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {network.host}/24 scram-sha-256\n")
        environment = cls.assemble(folder, kafka, database, Proxy(port, port, network.host))
        environment.network = network
        environment.postgres_proxy = Proxy(database.port, database.port, network.host)
        environment.smtp_proxy = Proxy(0, host=network.host)
        environment.receiver.host = network.host
        environment.prepare_services()
        return environment

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        return (self.smtp_proxy,)

    def service(self, name: str) -> ServiceProcess:
        made = super().service(name)
        self.place(name, made)
        return made

    def place(self, name: str, service: ServiceProcess | Role) -> None:
        """Let a service, which does not run, start in its namespace. Makes one if it has none."""
        assert isinstance(service, ServiceProcess)
        try:
            member = self.member(name)
        except StopIteration:
            member = f"{name}{secrets.randbelow(10**6)}"
            self.network.add(member)
        address = self.network.addresses[member]
        service.prefix = self.network.command(member)
        service.environment["FASTCORE_HTTP_HOST"] = address
        service.url = f"http://{address}:{service.port}"

    def member(self, name: str) -> str:
        """Return the name of a service in the network. Raises `StopIteration` if it has none."""
        return next(each for each in self.network.addresses if each.startswith(name))

    async def heal_servers(self) -> None:
        await asyncio.to_thread(self.network.heal)
        await super().heal_servers()

    async def stop_servers(self, *, keep: bool) -> None:
        try:
            await super().stop_servers(keep=keep)
        finally:
            await asyncio.to_thread(self.network.close)


def partition(services: Sequence[str], servers: Sequence[str], lost: Sequence[Lost] = BOTH) -> Action:
    """Cut one of the services from one of the servers, or one direction, and heal it later."""

    async def action(environment: Environment, rng: random.Random) -> None:
        assert isinstance(environment, PartitionedEnvironment)
        service, server, seconds = rng.choice(services), rng.choice(servers), rng.choice((6, 12, 25, 40))
        proxy = environment.kafka_proxy if server == "kafka" else environment.postgres_proxy
        lost_now = lost if lost == BOTH else [rng.choice(lost)]
        environment.log_event(f"{service} loses what is {' and '.join(lost_now)}: {server}, for {seconds} s")
        for way in lost_now:
            await asyncio.to_thread(
                environment.network.lose,
                environment.member(service),
                way,
                address=proxy.host,
                port=proxy.port,
            )
        try:
            await asyncio.sleep(seconds)
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(environment.network.heal)
        environment.log_event("the network is whole again")

    return action


async def vanish_in_transaction(environment: Environment, rng: random.Random) -> None:
    """The machine of a consumer vanishes inside a transaction, and the consumer starts on another one.

    Its COMMIT is lost. All replies of the server have arrived, so the server has nothing to send: alone it
    never notices that the client is gone, and keeps its locks.
    """
    assert isinstance(environment, PartitionedEnvironment)
    network, proxy = environment.network, environment.postgres_proxy
    name = rng.choice(CONSUMERS)
    async with environment.exclusive(name):
        service, old = environment.services[name], environment.member(name)
        environment.log_event(f"COMMITs of {name} are lost")
        await asyncio.to_thread(network.lose_text, old, "COMMIT", address=proxy.host, port=proxy.port)
        await asyncio.sleep(COMMIT_LOST_SECONDS)
        for way in BOTH:
            await asyncio.to_thread(network.lose, old, way, address=network.host)
        service.kill()
        await asyncio.to_thread(network.remove, old)
        environment.log_event(f"the machine of {name} is gone")
        environment.place(name, service)
        service.start()
        environment.log_event(f"{name} starts on another machine")

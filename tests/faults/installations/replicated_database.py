"""An installation whose PostgreSQL has a standby, and what happens to its primary.

The services know both servers (`Access.HOSTS`), or one endpoint that leads to one of them, as a name or a
proxy of a cloud provider does (`Access.ENDPOINT`).
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path

import asyncpg

from deploy.embedded.servers import standalone
from tests.faults.environment import TRACING, Environment
from tests.faults.injections.proxy import Proxy, own_port
from tests.faults.servers import listen_behind_proxy, start_part
from tests.faults.violations import Violation
from tests.support.database.standby import Pair, prepare_pair, remove_pair, signal_all

Fail = Callable[[Environment, random.Random], Awaitable[None]]


class Access(StrEnum):
    """How the services find the primary."""

    HOSTS = "hosts"
    ENDPOINT = "endpoint"


class ReplicatedEnvironment(Environment):
    """The installation. The checks read `postgres`: the primary, and later the promoted standby."""

    pair: Pair
    access: Access
    synchronous: bool

    @classmethod
    async def build_pair(
        cls, folder: Path, access: Access = Access.HOSTS, *, synchronous: bool
    ) -> "ReplicatedEnvironment":
        """Return the installation in this folder, not started.

        With `synchronous`, a commit waits until the standby has it.
        """
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        proxied_port, proxy_port = own_port(), own_port()
        kafka = await asyncio.to_thread(standalone.Kafka, folder, own_port())
        listen_behind_proxy(folder, proxied_port, proxy_port)
        pair = await asyncio.to_thread(prepare_pair, folder, TRACING)
        environment = cls.assemble(folder, kafka, pair.primary, Proxy(proxied_port, proxy_port))
        environment.pair, environment.access, environment.synchronous = pair, access, synchronous
        environment.is_traced = synchronous  # the history is in the database, too: a standby may lack some
        environment.prepare_services()
        return environment

    @property
    def database_url(self) -> str:
        if self.access is Access.ENDPOINT:
            return super().database_url
        return self.pair.url(self.pair.primary.urls.service)

    async def start_servers(self) -> None:
        await super().start_servers()
        await asyncio.to_thread(self.pair.standby.start)
        await self.pair.in_sync()
        if self.synchronous:
            # Set after the standby is there: without it, no commit would return.
            await self.set_on_primary("synchronous_standby_names", "*")

    async def set_on_primary(self, name: str, value: str) -> None:
        """Change a setting of the old primary."""
        connection = await asyncpg.connect(self.pair.primary.urls.superuser, timeout=10)
        try:
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    async def cut_replication(self) -> None:
        """Let the standby receive nothing from now on."""
        connection = await asyncpg.connect(self.pair.standby.urls.superuser, timeout=10)
        try:
            await connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    async def promote(self) -> None:
        """Promote the standby, and read it in the checks from now on."""
        await self.pair.promote()
        self.postgres = self.pair.standby

    def switch_endpoint(self) -> None:
        """Let the endpoint lead to the promoted standby; connections through it are reset."""
        self.postgres_proxy.target_port = self.pair.standby.port
        self.postgres_proxy.reset()

    def kill_primary(self) -> None:
        """Kill the old primary and all its backends."""
        if self.pair.primary.alive and self.pair.primary.process:
            signal_all(self.pair.primary, signal.SIGKILL)
            self.pair.primary.process.wait()

    def is_explained(self, violation: Violation) -> bool:
        """A standby that lags lacks attempts that were made: their events are sent again, under their ids."""
        is_repeated = violation.kind == "delivery" and " requests, " in violation.detail
        return is_repeated and not self.synchronous

    async def heal_servers(self) -> None:
        if self.kafka.alive:
            os.kill(self.kafka.pid, signal.SIGCONT)
        else:
            await start_part(self.kafka)

    async def stop_servers(self, *, keep: bool) -> None:
        await asyncio.to_thread(self.kafka.stop)
        if self.pair.primary.alive:
            signal_all(self.pair.primary, signal.SIGCONT)
        for server in (self.pair.standby, self.pair.primary):
            await asyncio.to_thread(server.stop)
        if not keep:
            remove_pair(self.folder)


def pair_of(environment: Environment) -> ReplicatedEnvironment:
    """Return an installation of this module as what it is."""
    assert isinstance(environment, ReplicatedEnvironment)
    return environment


async def _switch_endpoint_later(environment: ReplicatedEnvironment, seconds: float) -> None:
    if environment.access is Access.ENDPOINT:
        await asyncio.sleep(seconds)
        environment.switch_endpoint()
        environment.log_event(f"the endpoint leads to the promoted standby, {seconds:.0f} s late")


async def primary_killed(environment: Environment, rng: random.Random) -> None:
    """The primary dies, and the standby is promoted."""
    environment = pair_of(environment)
    environment.kill_primary()
    environment.log_event("the primary is killed")
    await asyncio.sleep(rng.uniform(0, 6))
    await environment.promote()
    environment.log_event("the standby is promoted")
    await _switch_endpoint_later(environment, rng.uniform(0, 8))


async def lagging_standby_promoted(environment: Environment, rng: random.Random) -> None:
    """The standby receives nothing for some seconds, then the primary dies and the standby is promoted."""
    environment = pair_of(environment)
    await environment.cut_replication()
    environment.log_event("the standby receives nothing any more")
    await asyncio.sleep(rng.uniform(2, 8))
    await primary_killed(environment, rng)


async def primary_hung(environment: Environment, rng: random.Random) -> None:
    """The primary hangs, the standby is promoted, and the old primary awakes, until it is fenced."""
    environment = pair_of(environment)
    signal_all(environment.pair.primary, signal.SIGSTOP)
    environment.log_event("the primary hangs")
    await asyncio.sleep(rng.uniform(0, 4))
    await environment.promote()
    environment.log_event("the standby is promoted")
    await _switch_endpoint_later(environment, rng.uniform(0, 8))
    await asyncio.sleep(rng.uniform(2, 8))
    signal_all(environment.pair.primary, signal.SIGCONT)
    environment.log_event("the old primary awakes, and there are two")
    await asyncio.sleep(rng.uniform(5, 10))
    environment.kill_primary()
    environment.log_event("the old primary is fenced")


async def primary_fenced(environment: Environment, rng: random.Random) -> None:
    """The primary becomes read-only and keeps its connections; the standby is promoted."""
    environment = pair_of(environment)
    await environment.pair.fence()
    environment.log_event("the primary is read-only")
    await asyncio.sleep(rng.uniform(0, 4))
    await environment.pair.in_sync()
    await environment.promote()
    environment.log_event("the standby is promoted")
    await _switch_endpoint_later(environment, rng.uniform(0, 8))


async def roles_exchanged(environment: Environment, rng: random.Random) -> None:
    """The primary stops in order, the standby is promoted, and the old primary comes back as its standby."""
    environment = pair_of(environment)
    await asyncio.sleep(rng.uniform(0, 3))
    await environment.pair.exchange_roles()
    environment.postgres = environment.pair.standby
    environment.log_event("primary and standby exchanged their roles")
    await _switch_endpoint_later(environment, rng.uniform(0, 8))


def endpoint_lags(shortest: float, longest: float) -> Fail:
    """Promote the standby while the primary works on. The endpoint follows some seconds later."""

    async def action(environment: Environment, rng: random.Random) -> None:
        environment = pair_of(environment)
        if not environment.synchronous:
            await environment.cut_replication()
        await environment.promote()
        environment.log_event("the standby is promoted, and the old primary still takes writes")
        await _switch_endpoint_later(environment, rng.uniform(shortest, longest))
        await asyncio.sleep(rng.uniform(1, 5))
        environment.kill_primary()
        environment.log_event("the old primary is fenced")

    return action

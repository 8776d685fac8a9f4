"""The faults of a schedule. Each method is an event of a plan, and the fault ends by itself."""

import asyncio
from typing import Any

from contracts import topics
from tests.schedules.service_process import ServiceProcess


class Faults:
    """What can happen to a `World`."""

    cluster: Any
    database: Any
    network: Any
    loop: Any
    stage: Any
    members: list[ServiceProcess]
    faults_until: float
    unsure_until: float
    expired: bool

    def _add_member(self) -> ServiceProcess:
        raise NotImplementedError

    def _member(self, number: float) -> ServiceProcess:
        return self.members[int(number) % len(self.members)]

    async def _lasting(self, seconds: float) -> None:
        self.faults_until = max(self.faults_until, self.loop.time() + seconds)
        await asyncio.sleep(seconds)

    async def kill(self, member: float, seconds: float) -> None:
        """Kill a member; it starts again after `seconds`."""
        self._member(member).kill(seconds)
        await self._lasting(seconds)

    async def restart(self, member: float, seconds: float) -> None:
        """Stop a member in order; it starts again after `seconds`."""
        self._member(member).restart(seconds)
        await self._lasting(seconds)

    async def freeze(self, member: float, seconds: float) -> None:
        """Freeze a member."""
        self._member(member).freeze(seconds)
        await self._lasting(seconds)

    async def join(self, seconds: float) -> None:
        """Add a member for some seconds."""
        member = self._add_member()
        await self._lasting(seconds)
        await member.stop()

    async def cut(self, member: float) -> None:
        """Cut all connections of a member."""
        self._member(member).cut()

    async def stop_broker(self, node: float, seconds: float, elsewhere: float) -> None:
        """Stop a broker; it starts again after `seconds`, under another address if `elsewhere` is 1."""
        self.cluster.stop_node(int(node))
        await self._lasting(seconds)
        self.cluster.start_node(int(node), elsewhere=bool(elsewhere))

    async def stop_all_brokers(self, seconds: float, elsewhere: float) -> None:
        """Stop all brokers; they start again after `seconds`."""
        for node in self.cluster.nodes:
            self.cluster.stop_node(node)
        await self._lasting(seconds)
        for node in self.cluster.nodes:
            self.cluster.start_node(node, elsewhere=bool(elsewhere))

    async def silence_broker(self, node: float, seconds: float) -> None:
        """Let a broker answer nothing."""
        self.cluster.silence(int(node), silent=True)
        await self._lasting(seconds)
        self.cluster.silence(int(node), silent=False)

    async def load_groups(self, seconds: float) -> None:
        """Let the coordinator load its groups: it answers with an error."""
        self.cluster.loading_until = self.loop.time() + seconds
        await self._lasting(seconds)

    async def refuse_commits(self, seconds: float) -> None:
        """Let the coordinator refuse commits."""
        self.cluster.refuse_commits = True
        await self._lasting(seconds)
        self.cluster.refuse_commits = False

    async def slow_network(self, seconds: float, factor: float) -> None:
        """Make the network slower by a factor."""
        self.network.slow_factor = factor
        await self._lasting(seconds)
        self.network.slow_factor = 1.0

    async def stop_database(self, seconds: float) -> None:
        """Stop the database."""
        self.database.stop()
        await self._lasting(seconds)
        self.database.start()

    async def hang_database(self, seconds: float) -> None:
        """Let the database answer nothing."""
        self.database.hangs = True
        await self._lasting(seconds)
        self.database.hangs = False

    async def slow_database(self, seconds: float, factor: float) -> None:
        """Make the database slower by a factor."""
        self.database.slow_factor = factor
        await self._lasting(seconds)
        self.database.slow_factor = 1.0

    async def lose_commit_reply(self) -> None:
        """Break the connection of the next transaction after its commit, before the reply."""
        self.database.lose_next_reply = True

    async def fail_over_database(self, behind: float, seconds: float) -> None:
        """Lose the commits of the last `behind` seconds: an asynchronous standby takes over."""
        self.database.remember()
        await self._lasting(behind)
        self._lose_data()
        self.database.fail_over()
        self.database.stop()
        await self._lasting(seconds)
        self.database.start()

    async def lose_log_tail(self, records: float, seconds: float) -> None:
        """Stop all brokers; the logs have lost their last records when they start again."""
        self._lose_data()
        for node in self.cluster.nodes:
            self.cluster.stop_node(node)
        await self._lasting(seconds)
        for partition, log in self.cluster.logs.items():
            if partition.topic in topics.consumed_by(self.stage.name) and log.batches:
                self.cluster.lose_tail(partition, int(records))
        for node in self.cluster.nodes:
            self.cluster.start_node(node)

    async def expire_records(self, records: float) -> None:
        """Delete the first records of each log that the stage reads, as retention does."""
        self.expired = True
        for partition, log in self.cluster.logs.items():
            if partition.topic in topics.consumed_by(self.stage.name):
                log.delete_before(log.start + int(records))

    def _lose_data(self) -> None:
        self.unsure_until = float("inf")

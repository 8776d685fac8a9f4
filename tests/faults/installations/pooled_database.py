"""An installation whose services reach PostgreSQL through PgBouncer in transaction mode, and migrations.

The migrations are those of an imagined next release. Like real ones they add columns and indexes to the
tables that the services write, fill them, and hold their locks for seconds, as on large tables. They use the
pooler too.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import asyncpg

from deploy.cli import migrate as runner
from deploy.embedded.servers import standalone
from tests.faults.environment import TRACING, Action, Environment
from tests.faults.injections.proxy import Proxy, own_port
from tests.faults.servers import listen_behind_proxy
from tests.support.database.pgbouncer import PgBouncer, find_program
from tests.support.patience import patient
from tests.support.wait import eventually

_FILES: Final = {
    "add_a_column": """
        ALTER TABLE lead_inbox ADD COLUMN later_{n} text;
        UPDATE lead_inbox SET later_{n} = site;
        CREATE INDEX lead_inbox_later_{n} ON lead_inbox (later_{n});
        SELECT pg_sleep({seconds});
    """,
    "add_a_default": """
        ALTER TABLE email_delivery ADD COLUMN later_{n} integer NOT NULL DEFAULT 0;
        ALTER TABLE webhook_delivery ADD COLUMN later_{n} integer NOT NULL DEFAULT 0;
        SELECT pg_sleep({seconds});
    """,
    "change_a_type": """
        ALTER TABLE email_delivery ALTER COLUMN later_{n} TYPE bigint;
        CREATE INDEX replay_queue_later_{n} ON replay_queue (updated_at);
    """,
}
_FIRST_NUMBER: Final = 9000
MIGRATED_SECONDS: Final = 90.0
# At the same time: a lock of the migrations that outlives its transaction stops one of them.
MIGRATORS: Final = 2
Disturb = Callable[["PooledEnvironment", random.Random], Awaitable[None]]


def missing_pgbouncer() -> str | None:
    """Return what this machine lacks, or None."""
    return None if find_program() else "PgBouncer (apt-get install pgbouncer)"


class PooledEnvironment(Environment):
    """The installation."""

    pooler: PgBouncer
    pooler_folder: Path
    releases: int

    @classmethod
    async def build_pooled(cls, folder: Path) -> "PooledEnvironment":
        """Return the installation in this folder, not started."""
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        proxied_port, proxy_port = own_port(), own_port()
        kafka = await asyncio.to_thread(standalone.Kafka, folder, own_port())
        listen_behind_proxy(folder, proxied_port, proxy_port)
        database = await asyncio.to_thread(standalone.Postgres, folder, own_port(), TRACING)
        environment = cls.assemble(folder, kafka, database, Proxy(proxied_port, proxy_port))
        # PgBouncer's account cannot enter every folder.
        environment.pooler_folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        environment.pooler = PgBouncer(environment.pooler_folder, database.urls.owner, database.urls.service)
        environment.releases = 0
        environment.prepare_services()
        return environment

    @property
    def database_url(self) -> str:
        return self.pooler.urls[1]

    async def start_servers(self) -> None:
        await super().start_servers()
        await self.start_pooler()

    async def heal_servers(self) -> None:
        await super().heal_servers()
        if self.pooler.alive:
            self.signal_pooler(signal.SIGUSR2)
        else:
            await self.start_pooler()

    async def stop_servers(self, *, keep: bool) -> None:
        self.pooler.kill()
        await asyncio.to_thread(shutil.rmtree, self.pooler_folder, ignore_errors=True)
        await super().stop_servers(keep=keep)

    async def start_pooler(self) -> None:
        """Start it, and wait until it answers."""
        self.pooler.start()

        async def answers() -> bool:
            try:
                connection = await asyncpg.connect(self.pooler.urls[1], timeout=5)
            except (OSError, asyncpg.PostgresError):
                return False
            await connection.close()
            return True

        await eventually(answers, seconds=30, what="PgBouncer")

    def signal_pooler(self, number: signal.Signals) -> None:
        """Send a signal: SIGUSR1 pauses, SIGUSR2 resumes, SIGHUP reloads."""
        assert self.pooler.process
        os.kill(self.pooler.process.pid, number)

    async def upgrade(self) -> None:
        """Apply the migrations of the next release through the pooler, as each of two new pods does."""
        self.releases += 1
        with _next_release(self.releases):
            await asyncio.gather(*(self._migrate() for _ in range(MIGRATORS)))
        self.log_event("all migrations are applied")

    async def _migrate(self) -> None:
        """Apply the migrations, again after each failure."""

        async def apply() -> bool:
            try:
                async with asyncio.timeout(patient(MIGRATED_SECONDS)):
                    await runner.migrate(*self.pooler.urls)
            except (
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                RuntimeError,
            ) as error:
                self.log_event(f"a migration failed, and is repeated: {type(error).__name__}")
                return False
            return True

        await eventually(apply, seconds=MIGRATED_SECONDS, every=0.5, what="all migrations applied")


@contextlib.contextmanager
def _next_release(number: int) -> Iterator[None]:
    """Let `migrate` know more migrations while the block lasts."""
    released, names = runner.MIGRATIONS, list(_FILES)
    with tempfile.TemporaryDirectory(prefix="migrations-") as folder:
        for file in released.glob("[0-9]*.sql"):
            shutil.copy(file, folder)
        for release in range(1, number + 1):  # those of earlier rounds too, unchanged
            seconds = random.Random(release).uniform(1, 5)
            for place, name in enumerate(names):
                path = Path(folder) / f"{_FIRST_NUMBER + 10 * release + place}_{name}.sql"
                path.write_text(_FILES[name].format(n=release, seconds=f"{seconds:.1f}"))
        runner.MIGRATIONS = Path(folder)
        try:
            yield
        finally:
            runner.MIGRATIONS = released


def migrated(*disturbances: Disturb) -> Action:
    """Apply the next migrations, while the pooler is disturbed."""

    async def action(environment: Environment, rng: random.Random) -> None:
        assert isinstance(environment, PooledEnvironment)
        environment.log_event("migrations begin")
        upgrade = asyncio.create_task(environment.upgrade())
        try:
            for disturb in disturbances:
                await asyncio.sleep(rng.uniform(0.2, 2))
                await disturb(environment, rng)
            await upgrade
        finally:
            upgrade.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await upgrade

    return action


async def restart_pooler(environment: PooledEnvironment, rng: random.Random) -> None:
    """Twice, end the pooler with all its connections, and start it again."""
    for _ in range(2):
        environment.pooler.stop() if rng.random() < 0.5 else environment.pooler.kill()
        environment.log_event("PgBouncer ended")
        await asyncio.sleep(rng.uniform(0, 3))
        await environment.start_pooler()
        environment.log_event("PgBouncer is back")
        await asyncio.sleep(rng.uniform(1, 3))


async def pause_pooler(environment: PooledEnvironment, rng: random.Random) -> None:
    """PAUSE: running transactions end, and others wait for the RESUME."""
    environment.signal_pooler(signal.SIGUSR1)
    environment.log_event("PAUSE")
    await asyncio.sleep(rng.uniform(3, 9))
    environment.signal_pooler(signal.SIGUSR2)
    environment.log_event("RESUME")


async def reload_pooler(environment: PooledEnvironment, rng: random.Random) -> None:
    """RELOAD, several times."""
    environment.log_event("RELOAD, five times")
    for _ in range(5):
        environment.signal_pooler(signal.SIGHUP)
        await asyncio.sleep(rng.uniform(0.2, 1))

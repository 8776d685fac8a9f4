"""A PostgreSQL primary with a streaming standby, both real, for failovers."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from deploy.embedded.servers import postgres, postgres_cluster
from deploy.embedded.servers.standalone import Postgres
from tests.support.wait import eventually

_PRIMARY, _STANDBY = "primary", "standby"
_REPLICATION = "host replication all 127.0.0.1/32 scram-sha-256\n"


@dataclass
class Pair:
    """Two servers with the same data. `primary` is the one that began as primary."""

    primary: Postgres
    standby: Postgres

    def url(self, url: str) -> str:
        """Name both hosts in a URL of the primary's: the primary first."""
        first, second = f"127.0.0.1:{self.primary.port}", f"127.0.0.1:{self.standby.port}"
        return url.replace(f"@{first}/", f"@{first},{second}/")

    async def promote(self) -> None:
        """Promote the standby. The old primary is not changed."""
        connection = await asyncpg.connect(self.standby.urls.superuser)
        try:
            await connection.execute("SELECT pg_promote()")
        finally:
            await connection.close()

    async def exchange_roles(self) -> None:
        """Stop the primary in order, promote the standby, and bring the old primary back as its standby."""
        await asyncio.to_thread(self.primary.stop)
        await self.promote()
        follow(self.primary, self.standby)
        await asyncio.to_thread(self.primary.start)

    async def fence(self) -> None:
        """Make the primary read-only while its connections live, as cloud providers do."""
        connection = await asyncpg.connect(self.primary.urls.superuser)
        try:
            await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def committing_nothing(self) -> AsyncIterator[None]:
        """Let each commit on the primary wait for a synchronous standby that is gone."""
        connection = await asyncpg.connect(self.primary.urls.superuser)
        try:
            await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
            await connection.execute("SELECT pg_reload_conf()")
            yield
        finally:
            await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()

    async def in_sync(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        connection = await asyncpg.connect(self.primary.urls.superuser)

        async def is_level() -> bool:
            return bool(
                await connection.fetchval(
                    "SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication"
                )
            )

        try:
            await eventually(is_level, seconds=20, what="the standby level with the primary")
        finally:
            await connection.close()


@contextlib.contextmanager
def running_pair(folder: Path) -> Iterator[Pair]:
    """Run a primary and its standby while the block lasts; remove both at the end."""
    with contextlib.ExitStack() as stack:
        stack.callback(remove_pair, folder)
        pair = prepare_pair(folder)
        for server in (pair.primary, pair.standby):
            stack.callback(server.stop)
            server.start()
        yield pair


def prepare_pair(folder: Path, settings: Mapping[str, str] | None = None) -> Pair:
    """Return a primary and its standby, not started, in two folders below this one.

    `settings` are passed to `postgres.prepare`.
    """
    first, second = folder / _PRIMARY, folder / _STANDBY
    primary = Postgres(first, settings=settings)
    with (postgres.cluster_folder(first) / "data" / "pg_hba.conf").open("a") as file:
        file.write(_REPLICATION)
    _copy(first, second, primary)
    return Pair(primary, Postgres(second, settings=settings))


def remove_pair(folder: Path) -> None:
    """Delete the data of both servers. They are stopped."""
    for name in (_PRIMARY, _STANDBY):
        postgres.remove(folder / name)


def _copy(first: Path, second: Path, primary: Postgres) -> None:
    """Copy the files of a server that is stopped, and make the copy follow it."""
    second.mkdir()
    shutil.copy(first / "passwords.json", second)
    home = postgres.cluster_folder(second)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copytree(postgres.cluster_folder(first) / "data", home / "data", symlinks=True)
    _follow(home / "data", primary)
    if account := postgres_cluster.server_account():
        for path in (home / "data", *(home / "data").rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def follow(server: Postgres, primary: Postgres) -> None:
    """Make a server that is stopped the standby of another."""
    folder = server.launch.folder
    assert folder
    _follow(folder / "data", primary)


def _follow(data: Path, primary: Postgres) -> None:
    password = urlsplit(primary.urls.superuser).password
    login = f"host=127.0.0.1 port={primary.port} user=postgres password={password}"
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = '{login}'\n")
    signal_file = data / "standby.signal"
    signal_file.touch()
    if account := postgres_cluster.server_account():
        os.chown(signal_file, account.pw_uid, account.pw_gid)


@contextlib.contextmanager
def hanging(server: Postgres) -> Iterator[None]:
    """Stop the postmaster and its backends (SIGSTOP): the kernel accepts connections, and nothing answers."""
    signal_all(server, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(server, signal.SIGCONT)


def signal_all(server: Postgres, number: signal.Signals) -> None:
    """Send a signal to the postmaster and its backends."""
    # Backends have sessions of their own, so the process group is not enough.
    tree = [server.pid]
    for each in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((each / "stat").read_text().rpartition(")")[2].split()[1]) == server.pid:
                tree.append(int(each.name))
    for pid in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

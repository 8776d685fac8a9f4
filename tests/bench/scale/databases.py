"""The generated databases of a run: one for each number of leads, on one server."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from rich.console import Console

from deploy.embedded.servers.standalone import running_postgres
from deploy.embedded.settings import ROOT
from runtime.database.postgres import _init_connection
from tests.bench.inputs.large_database import Size, prepare_database

FOLDER: Final = ROOT / ".fastcore" / "bench" / "scale"
# A smaller database is generated again before writes, which add 5,000 leads and erase some.
KEPT_LEADS: Final = 200_000
GIVEN_UP_MS: Final = 20_000


@contextlib.contextmanager
def running_server(url: str) -> Iterator[str]:
    """Yield a superuser's URL: the given one, or that of an embedded server that keeps its data."""
    if url:
        yield url
        return
    with running_postgres(FOLDER, keep=True, settings={"max_wal_size": "2GB"}) as server:
        yield server.urls.superuser


def of_database(server: str, name: str) -> str:
    """Return the URL of another database of the server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def prepared(server: str, leads: int, console: Console, *, writes: bool = False) -> str:
    """Return the URL of the migrated database with that many leads.

    Generates it if it does not exist. With `writes`, also if it is so small that the rows of an earlier
    measurement would matter.
    """
    name = f"scale_{leads}"
    url = of_database(server, name)
    asyncio.run(create_database(server, name, again=writes and leads < KEPT_LEADS))
    if not asyncio.run(_is_complete(url, leads)):
        asyncio.run(create_database(server, name, again=True))
    asyncio.run(prepare_database(url, Size(leads), console))
    return url


async def create_database(server: str, name: str, *, again: bool) -> None:
    """Create an empty database unless it exists. With `again`, remove the one that exists."""
    connection = await asyncpg.connect(of_database(server, "postgres"), command_timeout=600)
    try:
        if again:
            await connection.execute(f"DROP DATABASE IF EXISTS {name}")
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    finally:
        await connection.close()


async def _is_complete(url: str, leads: int) -> bool:
    """Return True if all leads and the indexes, which are created last, are there."""
    connection = await asyncpg.connect(url, command_timeout=600)
    try:
        find = (
            "SELECT to_regclass('lead_inbox_created') IS NOT NULL AND (SELECT count(*) FROM lead_inbox) >= $1"
        )
        return bool(
            await connection.fetchval("SELECT to_regclass('lead_inbox') IS NOT NULL")
            and await connection.fetchval(find, leads)
        )
    finally:
        await connection.close()


@dataclass
class Meter:
    """A pool of one connection, the processor time of its server process, and the statements it ran."""

    pool: Any
    process: int
    statements: list[Any]

    def processor_ms(self) -> float:
        """Return the CPU time that the connection's server process has used, in milliseconds."""
        return int(Path(f"/proc/{self.process}/schedstat").read_text().split()[0]) / 1e6


@contextlib.asynccontextmanager
async def metered(url: str) -> AsyncIterator[Meter]:
    """Open the connection whose work is measured. The server must run on this machine."""
    statements: list[Any] = []

    async def prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await _init_connection(connection)
        connection.add_query_logger(statements.append)

    async with asyncpg.create_pool(
        url,
        min_size=1,
        max_size=1,
        init=prepare,
        command_timeout=1800,
        server_settings={"timezone": "UTC"},
    ) as pool:
        yield Meter(pool, await pool.fetchval("SELECT pg_backend_pid()"), statements)


class Lap:
    """The times of one piece of work in milliseconds: of the server's processor, and elapsed."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._processor = meter.processor_ms()
        self._wall = time.perf_counter()

    def end(self, pieces: int = 1) -> tuple[float, float]:
        """Return (processor, wall) since the start, for each of the pieces."""
        wall = (time.perf_counter() - self._wall) * 1000
        return (self._meter.processor_ms() - self._processor) / pieces, wall / pieces

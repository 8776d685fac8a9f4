"""The commands of docs/managed-services.md for PostgreSQL run as they are, on real servers."""

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.cli.migrate import migrate
from deploy.embedded.servers import postgres_cluster
from deploy.embedded.servers.standalone import free_ports
from runtime.database.postgres import open_pool, transaction
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres
from tests.support.database.pgbouncer import PgBouncer
from tests.support.database.standby import Pair, running_pair
from tests.support.wait import eventually

PAGE = (Path(__file__).parents[3] / "docs" / "managed-services.md").read_text(encoding="utf-8")
HOSTS = "db-1.example.com,db-2.example.com:5432"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with running_pair(tmp_path) as running:
        yield running


def login(pair: Pair) -> str:
    """Return name and password of the services' role, as in a URL."""
    return urlsplit(pair.primary.urls.service).netloc.rpartition("@")[0]


def run(pair: Pair, commands: str, **variables: str) -> str:
    """Run the commands of the page with the test's hosts and password. Return what they print."""
    hosts = f"127.0.0.1:{pair.primary.port},127.0.0.1:{pair.standby.port}"
    commands = commands.replace(HOSTS, hosts).replace("fastcore:password", login(pair))
    path = f"{postgres_cluster.binaries() / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", commands],
        env={"PATH": path, "PGCONNECT_TIMEOUT": "10", **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_commands_for_failover_and_replicas_run_as_they_are(pair: Pair) -> None:
    await migrate(pair.primary.urls.owner, pair.primary.urls.service)
    await pair.in_sync()
    failover, replicas, _ = blocks("sh")
    superuser = pair.primary.urls.superuser.rpartition("/")[0] + "/fastcore"
    printed = await asyncio.to_thread(run, pair, failover, SUPERUSER_URL=superuser)
    assert re.search(rf"\| +{pair.primary.port} \| f\n", printed)
    assert "streaming" in printed
    create, _, read = replicas.partition("\n")
    await asyncio.to_thread(run, pair, create, SUPERUSER_URL=superuser)
    await pair.in_sync()
    assert "behind" in await asyncio.to_thread(run, pair, read)


async def test_pgbouncer_follows_a_failover_by_the_command_of_the_page(pair: Pair) -> None:
    (configuration,) = blocks("ini")
    *_, reconnect = blocks("sh")
    [port] = free_ports(1)
    # The account of the servers cannot enter the folders of pytest.
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        bouncer = PgBouncer(Path(name), pair.primary.urls.service)
        file = Path(name) / "pgbouncer.ini"

        def configure(server_port: int) -> None:
            text = configuration.replace("db-1.example.com port=5432", f"127.0.0.1 port={server_port}")
            text = text.replace("/etc/pgbouncer/userlist.txt", str(Path(name) / "users.txt"))
            text = text.replace("listen_port = 6432", f"listen_port = {port}\nunix_socket_dir =")
            user = urlsplit(pair.primary.urls.service).username
            file.write_text(text.replace("admin_users = fastcore", f"admin_users = {user}"))

        configure(pair.primary.port)
        bouncer.start()
        url = re.sub(r"@[^/]+", f"@127.0.0.1:{port}", pair.primary.urls.service)
        try:
            async with open_pool(Postgres.model_validate({"url": url}), "test") as pool:

                async def written_at() -> int:
                    async with transaction(pool) as connection:
                        await connection.execute("SELECT pg_current_xact_id()")
                        return int(await connection.fetchval("SELECT inet_server_port()"))

                await eventually(lambda: _open(port), what="PgBouncer")
                assert await written_at() == pair.primary.port
                await asyncio.to_thread(pair.primary.stop)
                await pair.promote()
                configure(pair.standby.port)
                command = reconnect.replace("pgbouncer.example.com:6432", f"127.0.0.1:{port}")
                assert str(pair.standby.port) in await asyncio.to_thread(run, pair, command)

                async def follows() -> bool:
                    try:
                        return await written_at() == pair.standby.port
                    except DependencyUnavailable:
                        return False

                await eventually(follows, seconds=30, what="a write on the new primary")
        finally:
            bouncer.stop()


async def _open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True

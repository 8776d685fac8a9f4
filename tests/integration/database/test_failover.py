"""If PostgreSQL fails over, hangs or is read-only, the pool finds the writable server."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from deploy.cli.migrate import migrate
from runtime.database.postgres import autocommit, open_pool, ping, transaction
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres
from runtime.workarounds.asyncpg import Connector
from services.admin.app import create_app as create_admin
from services.flusher.app import create_app as create_flusher
from services.notifier.app import create_app as create_notifier
from services.persister.app import create_app as create_persister
from services.webhooks.app import create_app as create_webhooks
from tests.support.database.standby import Pair, hanging, running_pair
from tests.support.wait import eventually
from tests.support.web.unreachable_address import blackhole

APPS: dict[str, Callable[[], FastAPI]] = {
    "persister": create_persister,
    "notifier": create_notifier,
    "webhooks": create_webhooks,
    "flusher": create_flusher,
    "admin": create_admin,
}
QUIET_SECONDS = 10.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A primary and a standby, for tests that do not change their roles."""
    with running_pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Pair]:
    """A primary and a standby, for a test that promotes the standby."""
    with running_pair(tmp_path) as running:
        yield running


@pytest.fixture
async def environment(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment that a service needs. No Kafka and no mail server listen at its addresses."""
    await migrate(pair.primary.urls.owner, pair.primary.urls.service)
    for name, value in {
        "DEBUG": "true",
        "DATABASE_URL": pair.primary.urls.service,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FASTCORE_ADMIN_TOKEN": "a-token-of-an-admin-1234567890",
        "FASTCORE_POSTGRES_POOL_MAX": "4",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": "1",
        "SMTP_TLS": "false",
        "FROM_EMAIL": "leads@fastcore.example",
        "ADMIN_EMAIL": "admin@fastcore.example",
        "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # an alert for each lead
    }.items():
        monkeypatch.setenv(name, value)


def settings(url: str, **changes: Any) -> Postgres:
    return Postgres.model_validate({"url": url, "command_timeout_seconds": 2, **changes})


async def write(pool: Any) -> int:
    """Write a row and return the port of the server, or 0 if none is available."""
    async with transaction(pool) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS written (at timestamptz)")
        await connection.execute("INSERT INTO written VALUES (now())")
        return int(await connection.fetchval("SELECT current_setting('port')"))


async def writable_port(pool: Any) -> int:
    try:
        return await write(pool)
    except DependencyUnavailable:
        return 0


async def fill(pool: Any) -> None:
    """Open every connection of the pool."""
    async with asyncio.TaskGroup() as group:
        for _ in range(pool.get_max_size()):
            group.create_task(_hold(pool))


async def _hold(pool: Any) -> None:
    async with autocommit(pool) as connection:
        await connection.fetchval("SELECT pg_sleep(0.1)")


async def test_regression_pool_leaves_read_only_primary_at_first_write(doomed: Pair) -> None:
    both = settings(doomed.url(doomed.primary.urls.owner))
    async with open_pool(both, "busy") as pool, open_pool(both, "idle") as idle:
        assert await write(pool) == doomed.primary.port
        await fill(pool)
        await ping(idle)
        await doomed.in_sync()
        await doomed.fence()
        await doomed.promote()
        with pytest.raises(DependencyUnavailable, match="25006"):
            await write(pool)
        # Not one of the five idle connections is used again.
        for _ in range(pool.get_max_size() + 1):
            assert await write(pool) == doomed.standby.port
        # A service that writes nothing notices by the check of its readiness.
        with pytest.raises(DependencyUnavailable, match="25006"):
            await ping(idle)
        # A busy machine may need more than one check's time to connect to both hosts.
        await eventually(partial(_answers, idle), until=bool, what="the readiness on the new primary")


async def _answers(pool: Any) -> bool:
    try:
        await ping(pool)
    except DependencyUnavailable:
        return False
    return True


async def test_standby_does_not_replace_restarting_primary(pair: Pair) -> None:
    async with open_pool(settings(pair.url(pair.primary.urls.owner)), "test") as pool:
        assert await write(pool) == pair.primary.port
        pair.primary.stop()
        with pytest.raises(DependencyUnavailable):
            await write(pool)
        with pytest.raises(DependencyUnavailable, match="25006"):  # only the standby answers
            await write(pool)
        await asyncio.to_thread(pair.primary.start)
        assert await write(pool) == pair.primary.port
    # The URL's `target_session_attrs` takes precedence: this client may read from a standby.
    url = pair.standby.urls.owner + "?target_session_attrs=any"
    session = await Connector(url, 5).connect()
    assert await session.fetchval("SELECT pg_is_in_recovery()")
    await session.close()


async def test_regression_hung_first_host_leaves_time_for_second(doomed: Pair) -> None:
    both = settings(doomed.url(doomed.primary.urls.owner))
    slow = both.model_copy(update={"command_timeout_seconds": 60})
    async with open_pool(both, "busy") as pool, open_pool(slow, "idle") as idle:
        for each in (pool, idle):
            await write(each)
            await fill(each)
        await doomed.in_sync()
        with hanging(doomed.primary):
            await doomed.promote()
            began = time.monotonic()
            await eventually(
                lambda: writable_port(pool),
                until=lambda port: port == doomed.standby.port,
                seconds=QUIET_SECONDS,
                what="a write on the new primary",
            )
            assert time.monotonic() - began < QUIET_SECONDS
            # The check of readiness does not wait for the first host either, and renews an idle pool.
            await eventually(lambda: answers(idle), seconds=QUIET_SECONDS, what="readiness")
            began = time.monotonic()
            for _ in range(idle.get_max_size() + 1):
                assert await write(idle) == doomed.standby.port
            assert time.monotonic() - began < QUIET_SECONDS


async def answers(pool: Any) -> bool:
    try:
        await ping(pool)
    except DependencyUnavailable:
        return False
    return True


async def test_regression_silent_first_host_leaves_time_for_the_second(
    pair: Pair,
) -> None:
    with blackhole() as dead:
        url = pair.primary.urls.owner.replace("@127.0.0.1", f"@127.0.0.2:{dead},127.0.0.1")
        async with open_pool(settings(url), "test") as pool:
            assert await write(pool) == pair.primary.port


async def test_regression_replaced_connections_to_hung_server_log_no_error(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runtime.workarounds.asyncpg.CLOSE_SECONDS", 0.5)
    # Without our own limit, asyncpg uses the timeout of a statement.
    async with open_pool(settings(pair.primary.urls.owner, command_timeout_seconds=0.5), "test") as pool:
        await fill(pool)
        with hanging(pair.primary):
            await pool.expire_connections()
            for _ in range(2):
                assert not await answers(pool)  # its connection is replaced, and the new one does not come
        await eventually(lambda: answers(pool), what="the database back")
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.usefixtures("environment")
async def test_exhausted_pool_is_not_reported_as_unavailable_database() -> None:
    app = create_admin()
    async with _serving(app) as client:
        pool = app.state.adapters.leads._pool
        async with asyncio.TaskGroup() as group:
            holders = [group.create_task(pool.fetchval("SELECT pg_sleep(2)")) for _ in range(4)]
            await eventually(lambda: _all_in_use(pool), what="every connection in use")
            assert (await _database(client))["ok"]
            assert not any(holder.done() for holder in holders)


async def _all_in_use(pool: Any) -> bool:
    return bool(pool.get_size() == pool.get_max_size() and not pool.get_idle_size())


@pytest.mark.usefixtures("environment")
async def test_services_report_hung_database_within_ten_seconds(pair: Pair) -> None:
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(_serving(create())) for name, create in APPS.items()}

        async def parts() -> dict[str, dict[str, Any]]:
            return {name: await _database(client) for name, client in clients.items()}

        def ready(found: dict[str, dict[str, Any]]) -> bool:
            return all(part["ok"] for part in found.values())

        await eventually(parts, until=ready, what="the database ready")
        with hanging(pair.primary):
            began = time.monotonic()
            found = await eventually(parts, until=none_ready, what="all red")
            assert time.monotonic() - began < QUIET_SECONDS
            assert {part["reason"] for part in found.values()} == {"database does not answer"}
            for client in clients.values():  # a probe waits for 2 s
                began = time.monotonic()
                assert (await client.get("/readyz")).status_code == 503
                assert time.monotonic() - began < 2
        await eventually(parts, until=ready, what="the database back")


def none_ready(found: dict[str, dict[str, Any]]) -> bool:
    return not any(part["ok"] for part in found.values())


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("exhausted", [False, True], ids=["idle", "exhausted"])
async def test_services_report_a_server_that_commits_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, exhausted: bool
) -> None:
    # It answers queries, so that readiness stayed green.
    monkeypatch.setattr("runtime.database.readiness.COMMIT_SECONDS", 1.0)
    monkeypatch.setattr("runtime.health.REUSE_SECONDS", 0.0)
    app = create_admin()
    async with _serving(app) as client, AsyncExitStack() as stack:
        await eventually(lambda: _database(client), until=lambda part: part["ok"], what="the database")
        async with pair.committing_nothing():
            if exhausted:
                pool = app.state.adapters.leads._pool
                for _ in range(pool.get_max_size()):
                    await stack.enter_async_context(pool.acquire())
            found = await eventually(
                lambda: _database(client), until=lambda part: not part["ok"], seconds=20, what="red"
            )
            assert found["reason"] == "database does not commit"
        await eventually(lambda: _database(client), until=lambda part: part["ok"], what="green")


@asynccontextmanager
async def _serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run an app's lifespan and yield a client for its probes."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=15) as client:
            yield client


async def _database(client: httpx.AsyncClient) -> dict[str, Any]:
    part: dict[str, Any] = (await client.get("/readyz")).json()["parts"]["database"]
    return part

"""Workarounds for asyncpg. They were seen with version 0.32.0; docs/decisions/0020 has the reasons.

| workaround | shortcoming | remove it when asyncpg |
|---|---|---|
| `DRIVER_ERRORS` | a cut connection may raise `InternalClientError` | raises `InterfaceError` then |
| `QuietConnection` | a pool logs an error for each replaced connection that hangs | closes with a timeout |
| `Connector` | a host that hangs uses up the timeout of all hosts | gives each host a share |
| `Connector` | it believes the server state in a pooler's handshake, which may be old | asks the server |
| `Connector` | prepared statements are lost behind a pooler in transaction mode | detects poolers |
| `terminate_after_timeout` | after a timeout, ROLLBACK may hang as long again | closes the connection |

`test_failover.py` and `test_pgbouncer.py` in `tests/integration/database` show whether these are needed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy

CLOSE_SECONDS: Final = 3.0
# How long a cancel request may take to reach a server that answers.
CANCEL_SECONDS: Final = 1.0
# What asyncpg raises. `InternalClientError` comes from inside the driver when the server cuts a connection
# at a bad moment (92 of 3,600 uses in a test). The pool drops such a connection.
DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# Sent by the simple query protocol, which every pooler passes on. That protocol returns only a number of
# rows: 1 for a pooler (the backend is not the one of the handshake) plus 2 for a read-only server. A pooler's
# handshake cannot be used, because its information about the server (`in_hot_standby`) may be outdated.
_INSPECT: Final = (
    "SELECT FROM generate_series(1, (pg_backend_pid() <> {pid})::int"
    " + 2 * (current_setting('transaction_read_only') = 'on')::int)"
)
_POOLER, _READ_ONLY = 1, 2


class QuietConnection(asyncpg.Connection):
    """A connection whose `close` raises no error.

    When a pool replaces a connection, it closes the old one in a task that nobody awaits. If the server
    hangs, each such task would log an ERROR with a traceback.
    """

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        """Close gracefully, or abort after at most `CLOSE_SECONDS`. Driver errors are suppressed."""
        with contextlib.suppress(*DRIVER_ERRORS):
            await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))


class Connector:
    """Opens connections to the first usable host of a URL.

    A usable host is writable, or it has the property that the URL's `target_session_attrs` requires. The host
    that answered most recently is tried first. Each host gets an equal share of the timeout, so a host that
    hangs does not prevent a connection to the next.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._hosts = _split_hosts(url)
        self._must_be_writable = "target_session_attrs" not in parse_qs(urlsplit(url).query)
        self._behind_pooler = False

    async def connect(self, *_: Any, **options: Any) -> QuietConnection:
        """Return a connection to the first usable host. A pool calls this in place of `asyncpg.connect`.

        Raises one of `DRIVER_ERRORS`. If all hosts fail, the error of a server that answered is raised,
        rather than the timeout of another host.
        """
        errors = list[Exception]()
        for host in list(self._hosts):
            # Keep the host at the end of the list until it has answered, even if the caller cancels this
            # attempt.
            self._hosts.remove(host)
            self._hosts.append(host)
            try:
                async with asyncio.timeout(self._timeout_seconds / len(self._hosts)):
                    connection = await self._connect_to(host, options)
            except DRIVER_ERRORS as error:
                errors.append(error)
            else:
                self._hosts.remove(host)
                self._hosts.insert(0, host)
                return connection
        raise next((error for error in errors if isinstance(error, asyncpg.PostgresError)), errors[-1])

    async def _connect_to(self, host: dict[str, Any], options: dict[str, Any]) -> QuietConnection:
        assumed = self._behind_pooler
        connection, properties = await self._open(host, options, named_statements=not assumed)
        # The first connection, or the name resolves to another server now.
        if bool(properties & _POOLER) != assumed:
            connection.terminate()
            self._behind_pooler = not assumed
            connection, properties = await self._open(host, options, named_statements=assumed)
        if properties & _READ_ONLY and self._must_be_writable:
            connection.terminate()
            raise asyncpg.ReadOnlySQLTransactionError("the server is read-only")
        return connection

    async def _open(
        self, host: dict[str, Any], options: dict[str, Any], *, named_statements: bool
    ) -> tuple[QuietConnection, int]:
        """Connect to one host. Return the connection and its server's flags (`_POOLER`, `_READ_ONLY`).

        With `named_statements=False`, asyncpg sends the text of a statement together with its arguments. A
        pooler in transaction mode requires this, because it may pass separate messages to different
        connections.
        """
        if not named_statements:
            options = options | {"statement_cache_size": 0}
        options = {"connection_class": QuietConnection} | options
        connection: QuietConnection = await asyncpg.connect(
            self._url, timeout=self._timeout_seconds, **host, **options
        )
        try:
            status = await connection.execute(_INSPECT.format(pid=connection.get_server_pid()))
        except BaseException:
            connection.terminate()
            raise
        return connection, int(status.split()[-1])


def _split_hosts(url: str) -> list[dict[str, Any]]:
    """Return `host` and `port` of each host in a URL that lists several hosts.

    For a URL with one host, return one empty dict: asyncpg then takes the host from the URL.
    """
    parts, query = urlsplit(url), {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    listed = (parts.netloc.rpartition("@")[2] or query.get("host", "")).split(",")
    if len(listed) == 1:
        return [{}]
    ports = query.get("port", "5432").split(",")
    if len(ports) == 1:
        ports *= len(listed)
    hosts = []
    for host, port in zip(listed, ports, strict=True):
        if host.startswith(("/", "%2F", "%2f")):  # a folder with a socket
            hosts.append({"host": unquote(host), "port": int(port)})
        else:
            one = urlsplit(f"//{host}")
            hosts.append({"host": unquote(one.hostname or "localhost"), "port": one.port or int(port)})
    return hosts


def terminate(connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
    """Close the connection's socket at once.

    Does nothing if the connection was already returned to the pool.
    """
    with contextlib.suppress(asyncpg.InterfaceError):
        connection.terminate()


@contextlib.asynccontextmanager
async def terminate_after_timeout(
    connection: "PoolConnectionProxy[asyncpg.Record]", *, or_cancellation: bool = False
) -> AsyncIterator[None]:
    """If a statement in the body times out, terminate the connection, so that no ROLLBACK is sent.

    On a hanging server, the ROLLBACK would wait for another timeout. Before the connection is terminated,
    there is a short wait, so that asyncpg's cancel request for the statement reaches the server. With
    `or_cancellation`, a cancellation of the task is treated as a timeout of the statement.
    """
    try:
        yield
    except (TimeoutError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and not or_cancellation:
            raise
        await asyncio.sleep(CANCEL_SECONDS)
        terminate(connection)
        raise

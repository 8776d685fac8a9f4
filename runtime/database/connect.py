"""Opening a connection to PostgreSQL: to which host, writable or not, through a pooler or not. No queries."""

import asyncio
import contextlib
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

CLOSE_SECONDS: Final = 3.0
# What asyncpg raises. The third is of no family of its own: a connection that the server cuts at a bad
# moment breaks inside the driver (seen: 92 of 3,600 uses). The pool drops it.
DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# Sent by the simple query protocol, which every pooler carries over, and which returns a number of rows only:
# 1 for a pooler (the backend is not the one of the handshake) plus 2 for a server that is read-only. What a
# pooler says in its handshake of the server, `in_hot_standby` for one, may be old.
_EXAMINE: Final = (
    "SELECT FROM generate_series(1, (pg_backend_pid() <> {pid})::int"
    " + 2 * (current_setting('transaction_read_only') = 'on')::int)"
)
_POOLER, _READ_ONLY = 1, 2


class Session(asyncpg.Connection):
    """A connection whose end is no error.

    A pool closes connections that it replaces in tasks that nobody awaits: a server that hangs would leave an
    ERROR with a traceback in the log for each of them.
    """

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        """Close in order, or by force after a moment."""
        with contextlib.suppress(*DRIVER_ERRORS):
            await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))


class Connector:
    """Opens connections to the first host of a URL that is writable, whatever the other hosts do.

    Each host has its share of the timeout, and the one that answered last is tried first. A URL with a
    `target_session_attrs` of its own is taken at its word.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._hosts = _hosts(url)
        self._writes = "target_session_attrs" not in parse_qs(urlsplit(url).query)
        self._behind_pooler = False

    async def connect(self, *_: Any, **options: Any) -> Session:
        """Return a connection. Raises what a server answered, rather than that another did not.

        The arguments are those of `asyncpg.connect`, as a pool hands them over.
        """
        failed = list[Exception]()
        for host in list(self._hosts):
            # To the end until it has answered, also where whoever asked does not wait for that.
            self._hosts.remove(host)
            self._hosts.append(host)
            try:
                async with asyncio.timeout(self._timeout_seconds / len(self._hosts)):
                    session = await self._connect_to(host, options)
            except DRIVER_ERRORS as error:
                failed.append(error)
            else:
                self._hosts.remove(host)
                self._hosts.insert(0, host)
                return session
        raise next((error for error in failed if isinstance(error, asyncpg.PostgresError)), failed[-1])

    async def _connect_to(self, host: dict[str, Any], options: dict[str, Any]) -> Session:
        assumed = self._behind_pooler
        session, found = await self._open(host, options, by_name=not assumed)
        if bool(found & _POOLER) != assumed:  # the first connection, or the name leads elsewhere now
            session.terminate()
            self._behind_pooler = not assumed
            session, found = await self._open(host, options, by_name=assumed)
        if found & _READ_ONLY and self._writes:
            session.terminate()
            raise asyncpg.ReadOnlySQLTransactionError("the server is read-only")
        return session

    async def _open(
        self, host: dict[str, Any], options: dict[str, Any], *, by_name: bool
    ) -> tuple[Session, int]:
        """Connect and examine the other side; prepare statements under names only if told so.

        Without a name asyncpg sends a statement's text again with its arguments, in one message: a pooler in
        transaction mode cannot separate them.
        """
        if not by_name:
            options = options | {"statement_cache_size": 0}
        options = {"connection_class": Session} | options
        session: Session = await asyncpg.connect(self._url, timeout=self._timeout_seconds, **host, **options)
        try:
            status = await session.execute(_EXAMINE.format(pid=session.get_server_pid()))
        except BaseException:
            session.terminate()
            raise
        return session, int(status.split()[-1])


def _hosts(url: str) -> list[dict[str, Any]]:
    """Return `host` and `port` for each host where the URL lists several; else leave it to asyncpg."""
    parts, query = urlsplit(url), {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    listed = (parts.netloc.rpartition("@")[2] or query.get("host", "")).split(",")
    if len(listed) == 1:
        return [{}]
    ports = query.get("port", "5432").split(",")
    if len(ports) == 1:
        ports *= len(listed)
    found = []
    for host, port in zip(listed, ports, strict=True):
        if host.startswith(("/", "%2F", "%2f")):  # a folder with a socket
            found.append({"host": unquote(host), "port": int(port)})
        else:
            one = urlsplit(f"//{host}")
            found.append({"host": unquote(one.hostname or "localhost"), "port": one.port or int(port)})
    return found

"""Workarounds for aiokafka's connections and metadata, seen with version 0.14.0. They use its private names.

| workaround | shortcoming | remove it when aiokafka |
|---|---|---|
| `enable_rebootstrap` | it never asks its bootstrap servers again (issue #456) | implements KIP-899 |
| (the same) | a cancelled bootstrap leaves its connection open | closes it when cancelled |
| (the same) | a refused login leaves a TLS connection open for up to 30 s | aborts it |
| (the same) | it asks for metadata without a pause while a partition has no leader | waits (KIP-580) |
| `seconds_since_answer` | it does not detect silent brokers | implements KIP-1102 |

aiokafka reads the bootstrap addresses once, at its start. Later it asks only the brokers that it knows. So if
a cluster comes back under other addresses, aiokafka never finds it. The Java client rebootstraps in two
cases: it can reach no known broker (KIP-899), or none has answered for a while (KIP-1102). The first is
handled here. For the second, the owner of a client replaces the client (see `seconds_since_answer`).

`tests/integration/kafka/test_rebootstrap.py` and `test_metadata_pauses.py` fail if a new version changes the
private names.
"""

import asyncio
import math
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError

from runtime.logs import logger

# TCP, TLS and login. aiokafka allows its whole request timeout (40 s) for each of them, and for each host in
# turn, so one dead bootstrap server would use up the time of the others.
CONNECT_SECONDS: Final = 5.0
# A client waits this long between two requests for metadata. Each failure doubles the pause. Both values are
# the Java client's defaults (`retry.backoff.ms` and `retry.backoff.max.ms`, KIP-580).
METADATA_PAUSE_SECONDS: Final = 0.1
METADATA_MAX_PAUSE_SECONDS: Final = 1.0

_connect: Any = AIOKafkaConnection.connect
_bootstrap: Any = AIOKafkaClient.bootstrap
_update: Any = AIOKafkaClient._metadata_update  # noqa: SLF001 - aiokafka offers no other way
_answered = WeakKeyDictionary[Any, float]()  # client -> when a broker last sent it metadata, monotonic
_updates = WeakKeyDictionary[Any, "_LastUpdate"]()
# While a client bootstraps, the connections that it has opened for that; otherwise None.
_bootstrap_connections = ContextVar[list[Any] | None]("bootstrap_connections", default=None)


def enable_rebootstrap() -> None:
    """Make Kafka clients of this process ask the bootstrap servers again if no known broker answers.

    Further calls change nothing.
    """
    AIOKafkaConnection.connect = _connect_with_timeout
    AIOKafkaClient.bootstrap = _bootstrap_or_close
    AIOKafkaClient._metadata_update = _update_or_rebootstrap  # noqa: SLF001


@dataclass
class _LastUpdate:
    """The end of a client's last request for metadata (loop time), and the pause before the next one."""

    ended_at: float = -math.inf
    pause_seconds: float = METADATA_PAUSE_SECONDS


def seconds_since_answer(client: Any) -> float:
    """Return the seconds since a broker last answered this client.

    If none has answered yet, return the seconds since this function was first called with this client.
    """
    return time.monotonic() - _answered.setdefault(client, time.monotonic())


async def _connect_with_timeout(connection: Any) -> Any:
    if (opened := _bootstrap_connections.get()) is not None:
        opened.append(connection)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await _connect(connection)
    except BaseException:
        abort_connection(connection)
        raise


def abort_connection(connection: Any) -> None:
    """Close a connection to a broker at once.

    aiokafka's `close` lets TLS wait for the broker for up to 30 s (`ssl_shutdown_timeout`), and forgets the
    connection: each failed attempt could add an open socket.
    """
    protocol = connection._protocol  # noqa: SLF001 - aiokafka offers no other way
    connection.close()  # does nothing if it is closed
    if protocol is not None and (transport := protocol._transport) is not None:  # noqa: SLF001
        transport.abort()


async def _bootstrap_or_close(client: Any) -> None:
    opened = list[Any]()
    token = _bootstrap_connections.set(opened)
    try:
        await _bootstrap(client)
    except BaseException:
        for connection in opened:
            connection.close()  # does nothing if it is closed
        raise
    finally:
        _bootstrap_connections.reset(token)


async def _update_or_rebootstrap(client: Any, cluster: Any, topics: Any) -> bool:
    # Only in the client's own task, which its close ends: elsewhere a bootstrap might outlive the client.
    if asyncio.current_task() is not client._sync_task:  # noqa: SLF001
        return await _try_update(client, cluster, topics)
    # While a partition has no leader, the fetcher requests metadata again after each answer and each failure.
    # Without this pause, it sends thousands of requests a second.
    last, now = _updates.setdefault(client, _LastUpdate()), asyncio.get_running_loop().time
    await asyncio.sleep(last.ended_at + last.pause_seconds - now())
    updated = await _try_update(client, cluster, topics) or (
        await _rebootstrap(client) and await _try_update(client, cluster, topics)
    )
    longer = min(2 * last.pause_seconds, METADATA_MAX_PAUSE_SECONDS)
    last.pause_seconds = METADATA_PAUSE_SECONDS if updated else longer
    last.ended_at = now()
    return updated


async def _rebootstrap(client: Any) -> bool:
    try:
        await client.bootstrap()
    except (KafkaError, OSError, TimeoutError):
        return False
    logger("kafka").warning("no known broker answered, found the cluster at its bootstrap servers again")
    return True


async def _try_update(client: Any, cluster: Any, topics: Any) -> bool:
    try:
        updated = bool(await _update(client, cluster, topics))
    except Exception as error:  # noqa: BLE001 - it would end the task that refreshes metadata, for good
        logger("kafka").error("metadata not read", reason=type(error).__name__)
        return False
    if updated:
        _answered[client] = time.monotonic()
    return updated

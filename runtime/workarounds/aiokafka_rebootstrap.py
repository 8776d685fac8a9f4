"""Recovery of Kafka clients whose brokers have moved. Nothing else of aiokafka is changed here.

aiokafka 0.14.0 reads the bootstrap addresses once, at its start, and from then on asks only the brokers
that it knows: a cluster that comes back under other addresses is never found again. The Java client
rebootstraps when it can reach no known broker (KIP-899) or when none has answered for a while (KIP-1102).
The first is done here, in place; for the second, the owner of a client replaces it when `silent_seconds`
exceeds `SILENCE_SECONDS`.
"""

import asyncio
import time
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError

from runtime.failures import DependencyUnavailable
from runtime.logs import logger

# A client that no broker has answered for so long is replaced: it may wait 40 s for a host that is gone.
SILENCE_SECONDS: Final = 60.0
# How old metadata becomes. The default is 5 minutes, for which a consumer keeps a deleted topic and misses
# new partitions. Each refresh proves that a broker answers, so it is well below SILENCE_SECONDS.
METADATA_MAX_AGE_MS: Final = 30_000
# TCP, TLS and login. aiokafka allows its whole request timeout (40 s) for each of them, and for each host in
# turn, so one dead bootstrap server would use up the time of the others.
CONNECT_SECONDS: Final = 5.0
# aiokafka asks for metadata every 100 ms while no broker answers.
REBOOTSTRAP_PAUSE_SECONDS: Final = 1.0

_connect: Any = AIOKafkaConnection.connect
_update: Any = AIOKafkaClient._metadata_update  # noqa: SLF001 - aiokafka offers no other way
_answered = WeakKeyDictionary[Any, float]()  # client -> when a broker last sent it metadata, monotonic
_rebootstrapped = WeakKeyDictionary[Any, float]()


def enable_rebootstrap() -> None:
    """Have every Kafka client of this process rebootstrap. Calling it again changes nothing."""
    AIOKafkaConnection.connect = _connect_in_time
    AIOKafkaClient._metadata_update = _update_or_rebootstrap  # noqa: SLF001


def silent_seconds(client: Any) -> float:
    """Return for how long no broker has answered this client, or since the first call."""
    return time.monotonic() - _answered.setdefault(client, time.monotonic())


async def ask_brokers(client: Any) -> None:
    """Return if a broker answers this client now. Raises `DependencyUnavailable`. The caller bounds it."""
    if not await client.force_metadata_update():
        raise DependencyUnavailable("kafka", "kafka does not answer")


async def _connect_in_time(connection: Any) -> Any:
    async with asyncio.timeout(CONNECT_SECONDS):
        return await _connect(connection)


async def _update_or_rebootstrap(client: Any, cluster: Any, topics: Any) -> bool:
    updated = await _try_update(client, cluster, topics)
    # Only in the client's own task, which its close ends: elsewhere a bootstrap might outlive the client.
    if updated or asyncio.current_task() is not client._sync_task or not _is_time(client):  # noqa: SLF001
        return updated
    try:
        await client.bootstrap()
    except (KafkaError, OSError, TimeoutError):
        return False
    logger("kafka").warning("no known broker answered, found the cluster at its bootstrap servers again")
    return await _try_update(client, cluster, topics)


async def _try_update(client: Any, cluster: Any, topics: Any) -> bool:
    try:
        updated = bool(await _update(client, cluster, topics))
    except Exception as error:  # noqa: BLE001 - it would end the task that refreshes metadata, for good
        logger("kafka").error("metadata not read", reason=type(error).__name__)
        return False
    if updated:
        _answered[client] = time.monotonic()
    return updated


def _is_time(client: Any) -> bool:
    now = time.monotonic()
    if now - _rebootstrapped.get(client, -REBOOTSTRAP_PAUSE_SECONDS) < REBOOTSTRAP_PAUSE_SECONDS:
        return False
    _rebootstrapped[client] = now
    return True

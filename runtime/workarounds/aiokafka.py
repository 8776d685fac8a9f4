"""Workarounds for aiokafka, except for fetches and offsets.

All were seen with version 0.14.0 and use its private names.

| workaround | shortcoming | remove it when aiokafka |
|---|---|---|
| `accept_any_header_name` | a header name that is not UTF-8 ends the consumer | delivers such a record |
| `raise_offset_fetch_errors` | a coordinator's error counts as "no committed offset" | checks `error_code` |
| `enable_rebootstrap` | it never asks its bootstrap servers again (issue #456) | implements KIP-899 |
| (the same) | a cancelled bootstrap leaves its connection open | closes it when cancelled |
| (the same) | a refused login leaves a TLS connection open for up to 30 s | aborts it |
| `seconds_since_answer` | it does not detect silent brokers | implements KIP-1102 |
| `force_close_consumer` | a cancelled `stop` leaves the heartbeat running | stops fully when cancelled |
| `stop_within` | a consumer's `stop` raises the cancellation of its own fetches | suppresses it |
| `retrieve_abandoned_commits` | asyncio logs the error of a commit that nobody awaits | retrieves it |

`tests/integration/kafka/test_rebootstrap.py` and `tests/unit/runtime/workarounds` fail if a new version
changes the private names.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CorruptRecordException, KafkaError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from runtime.logs import logger

# TCP, TLS and login. aiokafka allows its whole request timeout (40 s) for each of them, and for each host in
# turn, so one dead bootstrap server would use up the time of the others.
CONNECT_SECONDS: Final = 5.0
# aiokafka requests metadata every 100 ms while no broker answers.
REBOOTSTRAP_PAUSE_SECONDS: Final = 1.0
# `force_close_consumer` divides its time by this number of steps.
_CLOSE_STEPS: Final = 4

_connect: Any = AIOKafkaConnection.connect
_bootstrap: Any = AIOKafkaClient.bootstrap
_send: Any = AIOKafkaClient.send
_update: Any = AIOKafkaClient._metadata_update  # noqa: SLF001 - aiokafka offers no other way
_commit: Any = GroupCoordinator._do_commit_offsets  # noqa: SLF001
_answered = WeakKeyDictionary[Any, float]()  # client -> when a broker last sent it metadata, monotonic
_rebootstrapped = WeakKeyDictionary[Any, float]()
# The connections that the current bootstrap opened; None outside of a bootstrap.
_bootstrap_connections = ContextVar[list[Any] | None]("bootstrap_connections", default=None)


# --- header names that are not UTF-8 -------------------------------------------------------------
# Kafka accepts any bytes as a header name, and aiokafka raises on names that are not UTF-8. One such record
# would end every consumer of its topic, again after each restart. These classes escape the invalid bytes.


class _EscapingBytes(bytearray):
    """Bytes whose slices decode without an error: invalid UTF-8 is escaped."""

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        return _EscapingBytes(item) if isinstance(item, bytearray) else item

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        del errors
        return super().decode(encoding, "backslashreplace")


class _TolerantBatch:
    """A record batch with a fallback: if aiokafka cannot parse it, it is parsed again with escaped names."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except (UnicodeDecodeError, CorruptRecordException):  # the latter without aiokafka's C extension
            again = _DefaultRecordBatchPy(self._data)
            again._maybe_uncompress()  # noqa: SLF001
            again._buffer = _EscapingBytes(again._buffer)  # noqa: SLF001
            yield from again  # the fetcher skips the records that it already has


class TolerantRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The record batches of one fetch response. Header names that are not UTF-8 are escaped."""

    def next_batch(self) -> Any:
        """Return the next batch. Batches of the oldest formats have no headers and stay as they are."""
        data, batch = self._next_slice, super().next_batch()
        return _TolerantBatch(batch, data) if isinstance(batch, DefaultRecordBatch) else batch


def accept_any_header_name() -> None:
    """Make every consumer of this process accept header names that are not UTF-8."""
    fetcher.MemoryRecords = TolerantRecords


# --- errors in responses to OffsetFetch ----------------------------------------------------------
# Since version 2 of OffsetFetch (KIP-88) a coordinator that is loading its group, or has moved, answers with
# an error code and no partitions. aiokafka ignores the error code. It assumes that the group has committed
# nothing, and reads the topics again from their start. pykafka has the same fault (Parsely/pykafka#958).


def raise_offset_fetch_errors() -> None:
    """Make this process's Kafka clients raise the top-level error of an OffsetFetch response.

    The consumer then asks again, instead of assuming that nothing was committed.
    """
    AIOKafkaClient.send = _send_and_raise_error


async def _send_and_raise_error(client: Any, node_id: Any, request: Any, **options: Any) -> Any:
    response = await _send(client, node_id, request, **options)
    if isinstance(request, OffsetFetchRequest) and (code := getattr(response, "error_code", 0)):
        raise for_code(code)
    return response


# --- commits that nobody waits for ---------------------------------------------------------------
# aiokafka shields a commit from the cancellation of its caller, and our commits have a time limit. If the
# limit ends first, and the coordinator then refuses the commit (UnknownMemberIdError after a rebalance),
# nobody retrieves the error: asyncio.shield stops doing so when its caller is cancelled. asyncio logs an
# ERROR "Task exception was never retrieved". It is harmless: the caller has counted the commit as failed, and
# the records are read again. aiokafka has no issue for it; #611 is about the same errors, raised to a caller
# that waits.


def retrieve_abandoned_commits() -> None:
    """Keep asyncio from logging the error of a commit that nobody awaits any more."""
    GroupCoordinator._do_commit_offsets = _commit_and_retrieve  # noqa: SLF001


async def _commit_and_retrieve(coordinator: Any, assignment: Any, offsets: Any) -> None:
    if task := asyncio.current_task():
        task.add_done_callback(_retrieve_exception)
    await _commit(coordinator, assignment, offsets)


def _retrieve_exception(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


# --- rebootstrap ---------------------------------------------------------------------------------
# aiokafka reads the bootstrap addresses once, at its start. Later it asks only the brokers that it knows. So
# if a cluster comes back under other addresses, aiokafka never finds it. The Java client rebootstraps in two
# cases: it can reach no known broker (KIP-899), or none has answered for a while (KIP-1102). The first is
# handled here. For the second, the owner of a client replaces the client (see `seconds_since_answer`).


def enable_rebootstrap() -> None:
    """Make Kafka clients of this process ask the bootstrap servers again if no known broker answers.

    Further calls change nothing.
    """
    AIOKafkaConnection.connect = _connect_with_timeout
    AIOKafkaClient.bootstrap = _bootstrap_or_close
    AIOKafkaClient._metadata_update = _update_or_rebootstrap  # noqa: SLF001


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
    updated = await _try_update(client, cluster, topics)
    # Only in the client's own task, which its close ends: elsewhere a bootstrap might outlive the client.
    if updated or asyncio.current_task() is not client._sync_task or not _is_bootstrap_due(client):  # noqa: SLF001
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


def _is_bootstrap_due(client: Any) -> bool:
    now = time.monotonic()
    if now - _rebootstrapped.get(client, -REBOOTSTRAP_PAUSE_SECONDS) < REBOOTSTRAP_PAUSE_SECONDS:
        return False
    _rebootstrapped[client] = now
    return True


# --- a consumer whose stop failed ----------------------------------------------------------------
# An `AIOKafkaConsumer.stop` that is cancelled half-way leaves the heartbeat running: the member keeps its
# partitions, and reads nothing, for as long as the process lives. A second `stop` does nothing.


async def force_close_consumer(consumer: AIOKafkaConsumer, seconds: float) -> None:
    """End the consumer's tasks, leave its group and close its connections, within `seconds`."""
    coordinator = consumer._coordinator  # noqa: SLF001 - aiokafka offers no other way
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
    tasks = {task for name in names if (task := getattr(coordinator, name, None)) and not task.done()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds / _CLOSE_STEPS)
    steps = [
        getattr(coordinator, "_maybe_leave_group", None),  # does nothing if the group was left
        getattr(consumer._fetcher, "close", None),  # noqa: SLF001
        consumer._client.close,  # noqa: SLF001
    ]
    for step in filter(None, steps):
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await stop_within(step(), seconds / _CLOSE_STEPS)


async def stop_within(stopping: Coroutine[Any, Any, None], seconds: float) -> None:
    """Wait until an aiokafka client has stopped. Raises `TimeoutError` if that takes longer than `seconds`.

    Also raises `TimeoutError` if `stopping` ended by a `CancelledError`, but nobody cancelled this task. The
    fetcher cancels its fetches and awaits them, so its `close` raises what it has sent. The caller would end
    without an error, as if it had been cancelled.
    """
    try:
        await asyncio.wait_for(stopping, seconds)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise TimeoutError("the client cancelled its own stop") from None

"""Workarounds for aiokafka, except for connections, metadata, fetches and offsets.

All were seen with version 0.14.0 and use its private names.

| workaround | shortcoming | remove it when aiokafka |
|---|---|---|
| `accept_any_header_name` | a header name that is not UTF-8 ends the consumer | delivers such a record |
| `raise_offset_fetch_errors` | a coordinator's error counts as "no committed offset" | checks `error_code` |
| `force_close_consumer` | a cancelled `stop` leaves the heartbeat running | stops fully when cancelled |
| `stop_within` | a consumer's `stop` raises the cancellation of its own fetches | suppresses it |
| `retrieve_abandoned_commits` | asyncio logs the error of a commit that nobody awaits | retrieves it |

`tests/unit/runtime/workarounds` fails if a new version changes the private names.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CorruptRecordException, KafkaError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

# `force_close_consumer` divides its time by this number of steps.
_CLOSE_STEPS: Final = 4

_send: Any = AIOKafkaClient.send
_commit: Any = GroupCoordinator._do_commit_offsets  # noqa: SLF001


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
